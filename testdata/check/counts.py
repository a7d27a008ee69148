"""Counts the nodes that `clean-up` and `single-shot` leave, beside what the peers leave of the same model.

    python counts.py PROGRAM FOLDER... [--only PATTERN] [--write docs/engine.md] [--keep FOLDER]

Each folder holds cases, each with a `model.onnx` and recorded sets (`inputs*.npz`, `expected*.npz`). After `clean-up`
the peers get the same original; after `single-shot` they get our result, so what they still remove is what we left.
Nodes of all subgraphs count, function bodies too; `Constant` nodes never do, of anybody. Our results run on the recorded
inputs in ONNX Runtime and must give the recorded outputs; a peer's result is counted as it is.

Needs onnx, onnxruntime, onnxslim, onnxsim and onnxscript. Exits with 1 when a result of ours is wrong, or a peer
leaves 2 % fewer nodes.
"""

import argparse
import concurrent.futures
import glob
import hashlib
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

import tables

ort.set_default_logger_severity(4)

PEERS = {
    "onnxslim": "import onnx, onnxslim; onnx.save(onnxslim.slim(onnx.load({0!r})), {1!r})",
    "onnxsim": "import onnx, onnxsim; onnx.save(onnxsim.simplify(onnx.load({0!r}))[0], {1!r})",
    "onnxscript": "import onnx, onnxscript.optimizer as o; onnx.save(o.optimize(onnx.load({0!r})), {1!r})",
}
SLACK = 0.02
SECONDS = 300


def nodes(graph):
    """Nodes other than constants, in subgraphs too."""
    count = 0
    for node in graph.node:
        count += node.op_type != "Constant" or node.domain not in ("", "ai.onnx")
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                count += nodes(inner)
    return count


def count(path):
    """Nodes of a model file; `None` when there is none."""
    if not os.path.exists(path):
        return None
    model = onnx.load(path, load_external_data=False)
    return nodes(model.graph) + sum(nodes(f) for f in model.functions)


def peer(name, source, target):
    """What a peer leaves of a model; what it left of the same bytes before is not made again."""
    with open(source, "rb") as file:
        bytes_of = hashlib.sha256(file.read()).hexdigest()
    note = f"{target}.of"
    if os.path.exists(note) and open(note, encoding="utf-8").read() == bytes_of:
        return count(target)
    code = PEERS[name].format(str(source), str(target))
    try:
        subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return None
    with open(note, "w", encoding="utf-8") as file:
        file.write(bytes_of)
    return count(target)


def ours(program, pipeline, source, target, arguments=()):
    """Runs a pipeline; why it failed, or nothing."""
    done = subprocess.run(
        [program, "run", pipeline, source, "-o", target, *arguments], capture_output=True, text=True, check=False
    )
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["?"])[-1]


def differences(case, path, caches):
    """What a rewritten model gives that was not recorded of its original."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    wanted = [o.name for o in session.get_outputs()]
    ran = 0
    for file in sorted(glob.glob(os.path.join(case, "inputs*.npz"))):
        recorded = file.replace("inputs", "expected")
        if not os.path.exists(recorded):
            continue
        feeds, expected = np.load(file), np.load(recorded)
        if any(i.name not in feeds for i in session.get_inputs()):
            continue
        got = session.run(wanted, {i.name: feeds[i.name] for i in session.get_inputs()})
        ran += 1
        for name, array in zip(wanted, got):
            if name not in expected:
                if name not in caches:
                    yield f"{name}: not recorded"
                continue
            want = expected[name]
            if array.shape != want.shape or array.dtype != want.dtype:
                yield f"{name}: {array.dtype}{array.shape}, recorded {want.dtype}{want.shape}"
            elif array.dtype.kind == "f" and not np.allclose(array, want, rtol=1e-4, atol=1e-4, equal_nan=True):
                yield f"{name}: differs by {np.nanmax(np.abs(array - want)):.2g}"
            elif array.dtype.kind != "f" and not np.array_equal(array, want):
                yield f"{name}: differs"
    if not ran:
        yield "no recorded set fits"


def measure(program, case, out):
    """Counts of one case, and what is wrong."""
    with open(os.path.join(case, "meta.json"), encoding="utf-8") as file:
        meta = json.load(file)
    caches = set(meta.get("cache_inputs", [])) | set(meta.get("cache_outputs", []))
    source = os.path.join(case, "model.onnx")
    os.makedirs(out, exist_ok=True)
    row, wrong = {"original": count(source)}, []
    promises = meta.get("assume")
    arguments = [f"--set=assume=[{', '.join(promises)}]"] if promises else []
    for pipeline, given in (("clean-up", []), ("single-shot", arguments)):
        target = os.path.join(out, f"{pipeline}.onnx")
        why = ours(program, pipeline, source, target, given)
        row[pipeline] = count(target)
        if why:
            wrong.append(f"{pipeline}: {why}")
            continue
        wrong += [f"{pipeline}: {d}" for d in differences(case, target, caches)]
        origin = source if pipeline == "clean-up" else target
        for name in PEERS:
            row[f"{pipeline} {name}"] = peer(name, origin, os.path.join(out, f"{pipeline}-{name}.onnx"))
    return row, wrong


def beaten(row):
    """The places where a peer leaves fewer nodes than we may leave more."""
    for key, theirs in row.items():
        pipeline, _, name = key.partition(" ")
        if name and theirs is not None and row[pipeline] is not None and row[pipeline] > theirs * (1 + SLACK):
            yield f"{pipeline}: {row[pipeline]}, {name} {theirs}"


def table(rows):
    """The rows as Markdown."""
    head = ["model", "nodes", *(f"{p}{n}" for p in ("clean-up", "single-shot") for n in ("", *(f", {x}" for x in PEERS)))]
    keys = ["original", *(f"{p}{n}" for p in ("clean-up", "single-shot") for n in ("", *(f" {x}" for x in PEERS)))]
    lines = []
    for name, row in rows.items():
        cells = []
        for key in keys:
            value = "fails" if row.get(key) is None else str(row[key])
            cells.append(f"**{value}**" if key in ("clean-up", "single-shot") else value)
        lines.append([name, *cells])
    return tables.markdown(head, lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--only", default="*")
    parser.add_argument("--write", help="put the table into this page")
    parser.add_argument("--keep", help="keep the models here")
    args = parser.parse_args()
    cases = tables.cases(args.folders, args.only)
    with tempfile.TemporaryDirectory() as scratch:
        out = args.keep or scratch
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            done = pool.map(lambda c: measure(args.program, c, os.path.join(out, os.path.basename(c))), cases)
            results = dict(zip((os.path.basename(c) for c in cases), done))
    rows = {name: row for name, (row, _) in results.items()}
    problems = [f"{name}: {w}" for name, (_, wrong) in results.items() for w in wrong]
    behind = [f"{name}: {b}" for name, row in rows.items() for b in beaten(row)]
    print(table(rows))
    for line in problems:
        print("WRONG", line)
    for line in behind:
        print("BEHIND", line)
    if args.write:
        tables.put(args.write, "counts", table(rows))
    print(f"{len(rows)} models, {len(problems)} wrong, {len(behind)} times a peer leaves fewer nodes")
    sys.exit(1 if problems or behind else 0)


if __name__ == "__main__":
    main()
