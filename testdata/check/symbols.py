"""Holds symbolic shapes to what ONNX Runtime computes, at two sizes each.

    python symbols.py path/to/shapes [--only PATTERN] [--seed N] [--rounds N] [--zeros] [--list]

Every case is one node whose inputs have symbolic dims. The example `shapes` infers the outputs; then the model
runs at two sets of sizes, and every dim that is not made up (a made-up one starts with `?`) must evaluate to
the length that came out. A case which ONNX Runtime refuses counts as refused, and says why with `--list`.
"""

import argparse
import collections
import fnmatch
import json
import math
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto as T
from onnx import helper

import symbols_cases
from symbols_cases import Case

ort.set_default_logger_severity(4)

VERSIONS = {"com.microsoft": 1, "ai.onnx.ml": 5}


def build(case: Case):
    inputs, initializers, names = [], [], []
    for k, given in enumerate(case.inputs):
        name = f"x{k}"
        if given is None:
            names.append("")
            continue
        names.append(name)
        if given.value is not None:
            initializers.append(onnx.numpy_helper.from_array(np.asarray(given.value), name))
        else:
            inputs.append(helper.make_tensor_value_info(name, given.type, given.dims))
    node = helper.make_node(case.op, names, case.output_names(), domain=case.domain, **case.attributes)
    outputs = [helper.make_empty_tensor_value_info(o) for o in case.output_names() if o]
    opsets = [helper.make_opsetid("", case.opset)]
    if case.domain:
        opsets.append(helper.make_opsetid(case.domain, VERSIONS[case.domain]))
    graph = helper.make_graph([node], case.op, inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=opsets, ir_version=10)


def sized(case, sizes, rng):
    feeds = {}
    for k, given in enumerate(case.inputs):
        if given is None or given.value is not None:
            continue
        shape = [evaluate(d, sizes) if isinstance(d, str) else d for d in given.dims]
        dtype = helper.tensor_dtype_to_np_dtype(given.type)
        if given.fill is not None:
            value = np.asarray(given.fill(sizes, shape), dtype)
        elif dtype.kind == "f":
            value = rng.random(shape).astype(dtype)
        else:
            value = np.zeros(shape, dtype)
        feeds[f"x{k}"] = value
    return feeds


def evaluate(text, sizes):
    names = dict(sizes, min=min, max=max, floor=math.floor, ceil=math.ceil, Mod=lambda a, b: a % b)
    return eval(text, {"__builtins__": {}}, names)


def judge(case, answer, arrays, sizes):
    """What is wrong with the answer, and how many dims were told."""
    told = 0
    for name, array in zip((o for o in case.output_names() if o), arrays):
        dims = answer["values"][name]["dims"]
        dtype = answer["values"][name]["type"]
        if dtype is not None and dtype != T.DataType.Name(helper.np_dtype_to_tensor_dtype(array.dtype)).lower():
            yield f"{name}: type {dtype}, computed {array.dtype}"
        if dims is None:
            continue
        if len(dims) != array.ndim:
            yield f"{name}: {dims}, computed {array.shape}"
            continue
        for dim, length in zip(dims, array.shape):
            if isinstance(dim, str) and "?" in dim:
                continue
            told += 1
            value = dim if isinstance(dim, int) else evaluate(dim, sizes)
            if value != length:
                yield f"{name}: {dims} at {sizes}, computed {array.shape}"
                break
    case.told = told


def run(case, answer, rng, count, zeros):
    try:
        session = ort.InferenceSession(build(case).SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception as error:
        return "refused", str(error)
    ran = 0
    why = ""
    for _ in range(2):
        sizes = case.sizes(zeros)
        try:
            arrays = session.run(None, sized(case, sizes, rng))
        except Exception as error:
            why = str(error)
            continue
        ran += 1
        wrong = list(judge(case, answer, arrays, sizes))
        if wrong:
            return "wrong", "; ".join(wrong)
        count["dims told"] += case.told
        count["dims"] += sum(a.ndim for a in arrays)
    return ("ran", "") if ran else ("refused", why)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", help="the example `shapes`")
    parser.add_argument("--only", default="*", help="names of operators, as a pattern")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=20, help="random cases of each operator")
    parser.add_argument("--zeros", action="store_true", help="let lengths be 0, which ends some runtimes")
    parser.add_argument("--list", action="store_true", help="list what was refused and what is not told")
    args = parser.parse_args()

    random.seed(args.seed)
    rng = np.random.default_rng(args.seed)
    makers = [m for m in symbols_cases.MAKERS if fnmatch.fnmatch(m.__name__, args.only)]
    cases = [maker() for maker in makers for _ in range(args.rounds)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, f"{i}.onnx") for i in range(len(cases))]
        for case, path in zip(cases, paths):
            path.write_bytes(build(case).SerializeToString())
        done = subprocess.run([args.tool], input="\n".join(map(str, paths)), capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]

    total, by_op, wrong = collections.Counter(), collections.defaultdict(collections.Counter), []
    for case, answer in zip(cases, answers):
        verdict, why = run(case, answer, rng, by_op[case.name], args.zeros)
        by_op[case.name][verdict] += 1
        total[verdict] += 1
        if verdict == "wrong":
            wrong.append(f"{case}: {why}")
        elif verdict == "refused" and args.list:
            print("REFUSED", case, re.sub(r"\s+", " ", why)[:240])
    for name, count in sorted(by_op.items()):
        if args.list or count["wrong"] or not count["ran"]:
            print(name, dict(count))
    for line in wrong:
        print("WRONG", line)
    print(f"{dict(total)}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
