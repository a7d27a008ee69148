#!/usr/bin/env python3
"""Holds a rewritten model to the recorded answers of its original.

    prove.py CASE_DIR REWRITTEN.onnx [--rename NEW=OLD] [--set-name NAME] [--keep GLOB] [--rtol R] [--atol A]

A case holds pairs `inputs*.npz` and `expected*.npz`, recorded on the original with an empty cache. The rewritten model
is fed what it still asks for, and what it still gives is compared. It is not proven when a cache input or output is
left, when an output of the original is gone, when a symbol that only caches had is still in some shape, when a function
or an operator set that nothing uses is left, or when types, shapes or numbers differ. The names in `rename` of
`meta.json` need no flag. Sets marked `separate` need a rewrite of their own (other variables), so they run only by name.
Needs numpy, onnx, onnxruntime. Exit code 0: proven, 1: not.
"""

import argparse
import fnmatch
import json
import os
import re
import sys

import numpy as np
import onnx
import onnxruntime as ort


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("case")
    parser.add_argument("model")
    parser.add_argument("--rename", action="append", default=[], metavar="NEW=OLD", help="output NEW is the recorded OLD")
    parser.add_argument("--set-name", action="append", default=[], metavar="NAME", help="only this set (may repeat)")
    parser.add_argument("--keep", action="append", default=[], metavar="GLOB", help="caches that may stay")
    parser.add_argument("--rtol", type=float, default=1e-4)
    parser.add_argument("--atol", type=float, default=1e-4)
    return parser.parse_args()


def symbols(values):
    """The symbols in the shapes of `values`."""
    return {d.dim_param for v in values for d in v.type.tensor_type.shape.dim if d.dim_param}


def nodes_of(graph_or_function):
    """Every node, those in subgraphs included."""
    for node in graph_or_function.node:
        yield node
        for attribute in node.attribute:
            for graph in [attribute.g, *attribute.graphs]:
                yield from nodes_of(graph)


def value_infos(graph):
    """Every declared value of a graph and of its subgraphs."""
    yield from (*graph.input, *graph.output, *graph.value_info)
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g, *attribute.graphs]:
                yield from value_infos(inner)


def left_overs(original, rewritten, meta, rename, keep):
    """What the rewrite should have removed or kept and did not."""
    caches = {n for n in meta["cache_inputs"] + meta["cache_outputs"] if not any(fnmatch.fnmatch(n, g) for g in keep)}
    initializers = {t.name for t in rewritten.graph.initializer}
    names = [v.name for v in (*rewritten.graph.input, *rewritten.graph.output) if v.name not in initializers]
    for name in names:
        if name in caches:
            yield f"cache {name} is left"
    given = {rename.get(o.name, o.name) for o in rewritten.graph.output}
    for output in original.graph.output:
        if output.name not in caches and output.name not in given:
            yield f"output {output.name} is gone"
    declared = (*original.graph.input, *original.graph.output)
    only_caches = symbols(v for v in declared if v.name in caches) - symbols(v for v in declared if v.name not in caches)
    bodies = [*value_infos(rewritten.graph), *(v for f in rewritten.functions for v in f.value_info)]
    shapes = "\n".join(sorted(symbols(bodies)))
    for symbol in sorted(only_caches):
        if re.search(rf"(?<![\w.]){re.escape(symbol)}(?![\w.])", shapes):
            yield f"symbol {symbol} is left, which only caches had"
    called = {(n.domain, n.op_type) for body in (rewritten.graph, *rewritten.functions) for n in nodes_of(body)}
    for function in rewritten.functions:
        if (function.domain, function.name) not in called:
            yield f"function {function.domain}.{function.name} is left, which nothing calls"
    for entry in rewritten.opset_import:
        if entry.domain not in ("", "ai.onnx") and entry.domain not in {domain for domain, _ in called}:
            yield f"operator set {entry.domain} is left, which nothing uses"


def check(path):
    """The checker's first complaint, or None."""
    try:
        onnx.checker.check_model(path)
    except Exception as error:  # the checker has no common error type
        return str(error).strip().splitlines()[0]
    return None


def compare(got, want, rows, rtol, atol):
    """The largest difference and a complaint or None; `rows` are the real rows of each batch entry, the rest is padding."""
    if got.dtype != want.dtype:
        return 0.0, f"is {got.dtype}, recorded as {want.dtype}"
    if rows and got.shape != want.shape and got.ndim > 1 and got.shape[1] > want.shape[1]:
        got = got[:, : want.shape[1]].copy()
    if got.shape != want.shape:
        return 0.0, f"has shape {got.shape}, recorded as {want.shape}"
    if rows and want.ndim > 1 and len(rows) == len(want) and want.shape[1] == max(rows):
        real = np.arange(want.shape[1])[None] < np.array(rows)[:, None]
        got, want = got[real], want[real]
    got, want = got.astype(np.float64), want.astype(np.float64)
    if not np.isfinite(got).all():
        return 0.0, "is not finite"
    gap = float(np.abs(got - want).max()) if got.size else 0.0
    return gap, None if np.allclose(got, want, rtol=rtol, atol=atol) else f"differs by {gap:.3g}"


def fed(feed, live):
    """The inputs that the model asks for, in the float type that it asks for."""
    wanted = {}
    for entry in live.get_inputs():
        if entry.name not in feed:
            raise ValueError(f"nothing recorded for input {entry.name}")
        array = feed[entry.name]
        wanted[entry.name] = array.astype(np.float16) if entry.type == "tensor(float16)" else array
    return wanted


def run_set(live, case, name, facts, rename, options):
    """Runs one set; yields the largest difference of each output and a complaint or None."""
    suffix = "" if name == "main" else f"_{name}"
    want = np.load(os.path.join(case, f"expected{suffix}.npz"))
    outputs = [o.name for o in live.get_outputs()]
    try:
        got = live.run(outputs, fed(np.load(os.path.join(case, f"inputs{suffix}.npz")), live))
    except Exception as error:  # ONNX Runtime has no common error type
        yield 0.0, f"set {name}: {str(error).splitlines()[0][:300]}"
        return
    for output, value in zip(outputs, got):
        recorded = rename.get(output, output)
        if recorded not in want:
            yield 0.0, f"set {name}: nothing recorded for output {output}"
            continue
        gap, complaint = compare(value, want[recorded], facts.get("real_rows"), options.rtol, options.atol)
        yield gap, f"set {name}: {output} {complaint}" if complaint else None


def main():
    """Says what was proven, or what is wrong."""
    options = arguments()
    with open(os.path.join(options.case, "meta.json")) as file:
        meta = json.load(file)
    rename = {**meta.get("rename", {}), **dict(r.split("=", 1) for r in options.rename)}
    source = os.path.join(options.case, "model.onnx")
    original, rewritten = (onnx.load(p, load_external_data=False) for p in (source, options.model))
    wrong = list(left_overs(original, rewritten, meta, rename, options.keep))
    complaint = check(options.model)
    if complaint and not check(source):
        wrong.append(f"onnx.checker: {complaint}")
    names = options.set_name or [n for n, facts in meta["sets"].items() if not facts.get("separate")]
    worst = 0.0
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    quiet.intra_op_num_threads = 1
    try:
        live = ort.InferenceSession(options.model, quiet, providers=["CPUExecutionProvider"])
        for name in names:
            if name not in meta["sets"]:
                wrong.append(f"no set {name}; there are {', '.join(meta['sets'])}")
                continue
            for gap, complaint in run_set(live, options.case, name, meta["sets"][name], rename, options):
                worst = max(worst, gap)
                wrong += [complaint] if complaint else []
    except Exception as error:  # ONNX Runtime has no common error type
        wrong.append(f"ONNX Runtime does not load it: {str(error).splitlines()[0][:300]}")
    title = os.path.basename(os.path.normpath(options.case))
    if wrong:
        print(f"{title}: NOT PROVEN: {'; '.join(dict.fromkeys(wrong))}")
        sys.exit(1)
    kept = f"{len(rewritten.graph.input)} inputs, {len(rewritten.graph.output)} outputs"
    print(f"{title}: proven on {', '.join(names)}; {kept}; largest difference {worst:.3g}")


if __name__ == "__main__":
    main()
