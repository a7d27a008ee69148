"""Infers the shapes of the `onnx` package's node models and holds them to the recorded outputs.

    python shapes.py path/to/shapes [--list] [--only PATTERN] [--bind]

`shapes` is the example of that name (`cargo build --release --example shapes -p onnx-pass-passes`). Every
node model of `onnx.backend.test` loses the declared shapes of its outputs; then both the example and
`onnx.shape_inference` (strict, with data propagation) infer them. An output is known when its rank is and
every dim is a number, or, of a sequence or an optional, when that holds of its elements. It is contradicted
when the output that is recorded with the model has another type, rank or length.

With `--bind` the recorded inputs become initializers, so that what remains unknown depends on data in a way
that no shape arithmetic follows, and rules which read contents are held to the recorded outputs too.

Exits with 1 when an output is contradicted, or when the share that is known falls below what it was.
"""

import argparse
import collections
import fnmatch
import json
import pathlib
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
from onnx import TensorProto, TypeProto

import tables

warnings.filterwarnings("ignore")

# What was reached. More is welcome: raise it then.
AT_LEAST = 1943


def node_cases():
    from onnx.backend.test.case.node import collect_testcases

    return sorted((c for c in collect_testcases(None) if c.model is not None), key=lambda c: c.name)


def strip(type_proto):
    """Forgets the shape, at any depth; the element types stay."""
    kind = type_proto.WhichOneof("value")
    if kind in ("tensor_type", "sparse_tensor_type"):
        getattr(type_proto, kind).ClearField("shape")
    elif kind in ("sequence_type", "optional_type"):
        strip(getattr(type_proto, kind).elem_type)
    elif kind == "map_type":
        strip(type_proto.map_type.value_type)


def stripped(model):
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    del copy.graph.value_info[:]
    for output in copy.graph.output:
        strip(output.type)
    return copy


def bound(model, inputs):
    """The model with its recorded inputs, as far as they are tensors, for constants."""
    initializers, left = [], []
    for declared, value in zip(model.graph.input, inputs):
        if declared.type.WhichOneof("value") != "tensor_type":
            left.append(declared)
            continue
        if isinstance(value, TensorProto):
            tensor = onnx.TensorProto()
            tensor.CopyFrom(value)
            tensor.name = declared.name
        elif isinstance(value, np.ndarray) or np.isscalar(value):
            tensor = onnx.numpy_helper.from_array(np.asarray(value), declared.name)
            tensor.data_type = declared.type.tensor_type.elem_type
        else:
            left.append(declared)
            continue
        initializers.append(tensor)
    left += list(model.graph.input)[len(inputs):]
    del model.graph.input[:]
    model.graph.input.extend(left)
    model.graph.initializer.extend(initializers)
    return model


def by_onnx(model):
    """Output name -> list of dims (None where unknown), or None where the rank is."""
    try:
        model = onnx.shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception:
        return {}
    return {o.name: declared_dims(o.type) for o in model.graph.output}


def declared_dims(type_proto: TypeProto):
    kind = type_proto.WhichOneof("value")
    if kind in ("sequence_type", "optional_type"):
        return declared_dims(getattr(type_proto, kind).elem_type)
    if kind not in ("tensor_type", "sparse_tensor_type"):
        return None
    tensor = getattr(type_proto, kind)
    if not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else None for d in tensor.shape.dim]


def by_us(tool, paths):
    """Model path -> what the example says."""
    done = subprocess.run([tool], input="\n".join(map(str, paths)), capture_output=True, text=True, check=True)
    answers = (json.loads(line) for line in done.stdout.splitlines())
    return {a["model"]: a for a in answers}


def known(dims):
    return dims is not None and all(isinstance(d, int) for d in dims)


def arrays(recorded):
    """Shape and type of a recorded output: of one, or of the elements of a sequence."""
    if isinstance(recorded, (list, tuple)):
        return [a for r in recorded for a in arrays(r)]
    if recorded is None:
        return []
    if isinstance(recorded, TensorProto):
        return [(tuple(recorded.dims), TensorProto.DataType.Name(recorded.data_type).lower())]
    array = np.asarray(recorded)
    return [(array.shape, type_name(array))]


def contradictions(recorded, dims, element, dtype):
    """What an inferred shape says that the recorded output does not have."""
    for shape, recorded_type in arrays(recorded):
        if dims is not None:
            if len(dims) != len(shape):
                yield f"rank {len(dims)}, recorded {list(shape)}"
                continue
            for axis, (said, is_) in enumerate(zip(dims, shape)):
                if isinstance(said, int) and said != is_:
                    yield f"axis {axis} is {said}, recorded {list(shape)}"
        if dtype and recorded_type and dtype != recorded_type:
            yield f"type {dtype}, recorded {recorded_type}"
    if element and isinstance(recorded, (list, tuple)) and isinstance(element.get("len"), int):
        if element["len"] != len(recorded):
            yield f"{element['len']} elements, recorded {len(recorded)}"


def type_name(array):
    if array.dtype.kind in "OUS":
        return "string"
    try:
        number = onnx.helper.np_dtype_to_tensor_dtype(array.dtype)
    except Exception:
        return None
    return TensorProto.DataType.Name(number).lower()


def consistent(symbols, dims, shape):
    """One symbol is one number: what a model's outputs say of it together."""
    for said, is_ in zip(dims or [], shape):
        if isinstance(said, str) and symbols.setdefault(said, is_) != is_:
            return False
    return True


# Operators whose outputs are as long as what they compute, not as any number that they are given.
BY_RESULT = ["Compress", "ImageDecoder", "NonMaxSuppression", "NonZero", "StringNormalizer", "StringSplit", "Unique"]


def operators_of(cases):
    """What a model is of: a function's expansion is of the function."""
    return {c.name: re.sub(r"_[A-Za-z0-9_]*function.*", "", c.model.graph.node[0].output[0] or "") for c in cases}


def table(tool, cases):
    """What is not known, by operator, as Markdown: with the inputs open, and with the recorded inputs for constants."""
    _, _, opened = survey(tool, cases, False)
    _, _, closed = survey(tool, cases, True)
    expanded = operators_of(cases)
    nodes = {c.name: [n.op_type for n in c.model.graph.node] for c in cases}

    def operator(name):
        return nodes[name][0] if len(nodes[name]) == 1 or not expanded[name] else expanded[name]

    count = collections.defaultdict(lambda: [0, 0])
    left = {(m[2], m[3]) for m in closed}
    for missing in opened:
        name, output = missing[2], missing[3]
        kind = operator(name) if name.endswith("_expanded") else nodes[name][0]
        count[kind][0] += 1
        count[kind][1] += (name, output) in left
    def why(kind, n):
        if n == 0:
            return "the contents of an input"
        return "its result" if kind in BY_RESULT else "missing here"
    rows = [[f"`{k}`", n, n - m, m, why(k, m)] for k, (n, m) in sorted(count.items(), key=lambda i: (i[1][1] == 0, i[0]))]
    total = [sum(r[i] for r in rows) for i in (1, 2, 3)]
    return tables.markdown(["operator", "outputs not known", "known with constant inputs", "left", "depends on"], [*rows, ["all", *total, ""]])


def survey(tool, cases, bind):
    """Counts, contradictions, and what is not known: (known to onnx, operators, model, output, ours, onnx's, without rule)."""
    count, wrong, missing = collections.Counter(), [], []
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, f"{c.name}.onnx") for c in cases]
        models = [stripped(c.model) for c in cases]
        if bind:
            models = [bound(m, c.data_sets[0][0]) if c.data_sets else m for m, c in zip(models, cases)]
        for path, model in zip(paths, models):
            path.write_bytes(model.SerializeToString())
        ours = by_us(tool, paths)
    for case, path, model in zip(cases, paths, models):
        answer = ours.get(str(path), {"error": "no answer"})
        if "error" in answer:
            wrong.append(f"{case.name}: {answer['error']}")
            continue
        theirs = by_onnx(model)
        symbols = {}
        count["models"] += 1
        for k, output in enumerate(model.graph.output):
            fact = answer["values"][output.name]
            element = fact["element"]
            dims = element["dims"] if element else fact["dims"]
            dtype = element["type"] if element else fact["type"]
            count["outputs"] += 1
            count["onnx"] += known(theirs.get(output.name))
            count["known"] += known(dims)
            count["ranked"] += dims is not None
            if known(theirs.get(output.name)) and not known(dims):
                count["onnx alone"] += 1
            data_sets = (case.data_sets or [])[: 1 if bind else None]
            for _, recorded in data_sets:
                for what in contradictions(recorded[k], dims, element, dtype):
                    wrong.append(f"{case.name}: {output.name}: {what}")
                for shape, _ in arrays(recorded[k]) if element is None else []:
                    if not consistent(symbols, dims, shape):
                        wrong.append(f"{case.name}: {output.name}: {dims}, recorded {list(shape)}: two lengths of one symbol")
            if not known(dims):
                ops = ",".join(n.op_type for n in model.graph.node[:3])
                here = theirs.get(output.name)
                missing.append((known(here), ops, case.name, output.name, dims, here, answer["without_rule"]))
    return count, wrong, missing


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", help="the example `shapes`")
    parser.add_argument("--list", action="store_true", help="list every output that is not known")
    parser.add_argument("--bind", action="store_true", help="make the recorded inputs constants")
    parser.add_argument("--write", help="put a table of what is not known into this page")
    parser.add_argument("--only", default="*", help="names of models, as a pattern")
    args = parser.parse_args()

    cases = [c for c in node_cases() if fnmatch.fnmatch(c.name, args.only)]
    if args.write:
        tables.put(args.write, "missing", table(args.tool, cases))
        return
    count, wrong, missing = survey(args.tool, cases, args.bind)
    if args.list:
        for known_there, ops, name, output, dims, there, without in sorted(missing, key=str):
            print("ONNX KNOWS" if known_there else "-", ops, name, output, dims, there, " ".join(without))
    for line in wrong:
        print("CONTRADICTED", line)
    print(
        f"{count['models']} models, {count['outputs']} outputs: {count['known']} known "
        f"({count['ranked']} at least in rank), {count['onnx']} by onnx {onnx.__version__}, "
        f"{count['onnx alone']} by onnx alone; {len(wrong)} contradicted"
    )
    too_few = args.only == "*" and count["known"] < AT_LEAST
    sys.exit(1 if wrong or too_few else 0)


if __name__ == "__main__":
    main()
