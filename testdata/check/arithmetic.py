"""Random graphs of shape arithmetic: what is inferred, evaluated at random sizes, is what ONNX Runtime computes.

    python arithmetic.py path/to/shapes [--graphs N] [--sizes N] [--seed N]

Each graph reads lengths of its inputs and computes with them (every operator that exporters use for it, over lengths,
negative numbers and bools), then uses the results: as targets, repeats, bounds of slices and ranges. The example `shapes`
infers it once; it runs at several random sizes, lengths of 0 and 1 among them, with every value as an output, and each dim and
each known element must evaluate to what came out. A size at which ONNX Runtime refuses a node is another size's turn.

Exits with 1 when anything is contradicted, or when less is known than a check that means something needs.
"""

import argparse
import collections
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper

from symbols import evaluate

ort.set_default_logger_severity(4)

INPUTS = {"x": ["a", "b", 6], "y": ["c", "a"], "z": [1, "b"]}
BIG = 1 << 40
# Of all elements and dims, the share that has to be known: it is a check of answers, not of silence.
AT_LEAST = 0.8


class Graph:
    """A graph that grows at random: vectors of a known length, with a bound of what they hold."""

    def __init__(self, rng):
        self.rng, self.nodes, self.tensors = rng, [], []
        # name -> (length, or None for a scalar; greatest magnitude)
        self.vectors, self.bools = {}, {}

    def add(self, op, inputs, **attributes):
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def several(self, op, inputs, count, **attributes):
        names = [f"v{len(self.nodes)}_{k}" for k in range(count)]
        self.nodes.append(helper.make_node(op, inputs, names, **attributes))
        return names

    def constant(self, value, dtype=np.int64):
        name = f"c{len(self.tensors)}"
        self.tensors.append(onnx.numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def vector(self, name, length, bound):
        self.vectors[name] = (length, bound)
        return name

    def any(self):
        name = self.rng.choice(list(self.vectors))
        return name, *self.vectors[name]

    def alike(self, length):
        """Another vector that broadcasts with one of this length."""
        fits = [n for n, (k, _) in self.vectors.items() if k in (length, 1, None) or length in (1, None)]
        name = self.rng.choice(fits)
        return name, *self.vectors[name]

    def step(self):
        kind = self.rng.choice([k for k in dir(self) if k.startswith("make_")])
        getattr(self, kind)()

    @staticmethod
    def wide(p, q):
        return q if p is None else p if q is None else max(p, q)

    def make_shape(self):
        name, dims = self.rng.choice(list(INPUTS.items()))
        start = self.rng.randrange(len(dims))
        if self.rng.random() < 0.4:
            self.vector(self.add("Shape", [name], start=start), len(dims) - start, 9)
        else:
            self.vector(self.add("Shape", [name]), len(dims), 9)

    def make_size(self):
        self.vector(self.add("Size", [self.rng.choice(list(INPUTS))]), None, 500)

    def make_binary(self):
        p, k, m = self.any()
        q, n, o = self.alike(k)
        op, bound = self.rng.choice([("Add", m + o), ("Sub", m + o), ("Mul", m * o), ("Max", max(m, o)), ("Min", max(m, o))])
        if bound < BIG:
            self.vector(self.add(op, [p, q]), self.wide(k, n), bound)

    def make_divide(self):
        p, k, m = self.any()
        op = self.rng.choice(["Div", "Mod"])
        by = self.constant(self.rng.choice([-3, -1, 1, 2, 3, 4, 7]))
        self.vector(self.add(op, [p, by]), k, max(m, 7))

    def make_unary(self):
        p, k, m = self.any()
        self.vector(self.add(self.rng.choice(["Neg", "Abs", "Identity"]), [p]), k, m)

    def make_cast(self):
        p, k, m = self.any()
        if m < 1 << 20:
            there = self.add("Cast", [p], to=self.rng.choice([TensorProto.INT32, TensorProto.FLOAT, TensorProto.DOUBLE]))
            self.vector(self.add("Cast", [there], to=TensorProto.INT64), k, m)

    def make_gather(self):
        p, k, m = self.any()
        if k:
            at = self.rng.randrange(-k, k)
            index = self.constant(at if self.rng.random() < 0.5 else [at])
            length = None if self.tensors[-1].dims == [] else 1
            self.vector(self.add("Gather", [p, index]), length, m)

    def make_slice(self):
        p, k, m = self.any()
        if k:
            start, end, step = self.rng.randint(-k - 1, k), self.rng.randint(-k - 1, k + 1), self.rng.choice([1, 1, 2, -1])
            length = len(range(k)[start:end:step])
            if length:
                parts = [self.constant([i]) for i in (start, end, 0, step)]
                self.vector(self.add("Slice", [p, *parts]), length, m)

    def make_concat(self):
        p, k, m = self.any()
        q, n, o = self.any()
        if k and n and k + n <= 8:
            self.vector(self.add("Concat", [p, q], axis=0), k + n, max(m, o))

    def make_axes(self):
        p, k, m = self.any()
        if k is None:
            self.vector(self.add("Unsqueeze", [p, self.constant([0])]), 1, m)
        elif k == 1:
            self.vector(self.add("Squeeze", [p, self.constant([0])]), None, m)

    def make_split(self):
        p, k, m = self.any()
        if k and k > 1:
            at = self.rng.randrange(1, k)
            for name, length in zip(self.several("Split", [p, self.constant([at, k - at])], 2, axis=0), (at, k - at)):
                self.vector(name, length, m)

    def make_reduce(self):
        p, k, m = self.any()
        if k:
            op, bound = self.rng.choice([("ReduceSum", m * k), ("ReduceProd", m**k), ("ReduceMax", m), ("ReduceMin", m)])
            if bound < BIG:
                keep = self.rng.randrange(2)
                self.vector(self.add(op, [p], keepdims=keep), 1 if keep else None, bound)

    def make_compare(self):
        p, k, _ = self.any()
        q, n, _ = self.alike(k)
        op = self.rng.choice(["Equal", "Less", "Greater", "LessOrEqual", "GreaterOrEqual"])
        self.bools[self.add(op, [p, q])] = self.wide(k, n)

    def make_not(self):
        if self.bools:
            p, k = self.rng.choice(list(self.bools.items()))
            self.bools[self.add("Not", [p])] = k

    def make_where(self):
        if self.bools:
            c, k = self.rng.choice(list(self.bools.items()))
            p, n, m = self.alike(k)
            q, i, o = self.alike(self.wide(k, n))
            self.vector(self.add("Where", [c, p, q]), self.wide(self.wide(k, n), i), max(m, o))

    def make_fill(self):
        k, value = self.rng.randint(1, 4), self.rng.randint(-3, 9)
        filled = helper.make_tensor("value", TensorProto.INT64, [1], [value])
        self.vector(self.add("ConstantOfShape", [self.constant([k])], value=filled), k, abs(value))

    def make_expand(self):
        p, k, m = self.any()
        if k in (None, 1):
            n = self.rng.randint(1, 4)
            self.vector(self.add("Expand", [p, self.constant([n])]), n, m)

    def make_tile(self):
        p, k, m = self.any()
        if k and k <= 3:
            self.vector(self.add("Tile", [p, self.constant([2])]), 2 * k, m)

    def make_reshape(self):
        p, k, m = self.any()
        if k:
            there = self.add("Reshape", [p, self.constant([1, -1])])
            self.vector(self.add("Reshape", [there, self.constant([-1])]), k, m)

    def clamped(self, low=0, high=9):
        """A vector held to lengths that can be made."""
        p, k, _ = self.any()
        return self.add("Min", [self.add("Max", [p, self.constant(low)]), self.constant(high)]), k

    def scalar(self):
        p, k = self.clamped()
        return p if k is None else self.add("ReduceMax", [p], keepdims=0)

    def make_use_fill(self):
        p, k = self.clamped()
        if k and k <= 3:
            self.add("ConstantOfShape", [p])

    def make_use_range(self):
        self.add("Range", [self.constant(self.rng.randint(-2, 2)), self.scalar(), self.constant(self.rng.choice([1, 2, 3]))])

    def make_use_slice(self):
        name, dims = self.rng.choice(list(INPUTS.items()))
        bounds = []
        for _ in range(2):
            p, k, _ = self.any()
            bounds.append(self.add("Unsqueeze", [p if k is None else self.add("ReduceMin", [p], keepdims=0), self.constant([0])]))
        axis, step = self.rng.randrange(len(dims)), self.rng.choice([1, 1, 2, -1])
        self.add("Slice", [name, *bounds, self.constant([axis]), self.constant([step])])

    def make_use_expand(self):
        p, k = self.clamped(1)
        if k and k <= 3:
            self.add("Expand", [self.constant(1.0, np.float32), p])

    def make_use_tile(self):
        name, dims = self.rng.choice(list(INPUTS.items()))
        repeats = [self.add("Unsqueeze", [self.scalar(), self.constant([0])]) for _ in dims]
        self.add("Tile", [name, self.add("Concat", repeats, axis=0)])

    def make_use_reshape(self):
        flat = self.add("Reshape", ["x", self.constant([-1])])
        count = self.add("Unsqueeze", [self.add("Size", ["x"]), self.constant([0])])
        one = self.add("Unsqueeze", [self.scalar(), self.constant([0])])
        self.add("Reshape", [flat, self.add("Concat", [count, self.constant([1])], axis=0)])
        self.add("Expand", [self.add("Unsqueeze", [flat, self.constant([0])]), self.add("Concat", [one, count], axis=0)])

    def model(self):
        inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, d) for n, d in INPUTS.items()]
        outputs = [helper.make_empty_tensor_value_info(o) for n in self.nodes for o in n.output]
        graph = helper.make_graph(self.nodes, "arithmetic", inputs, outputs, self.tensors)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def made(seed, steps):
    graph = Graph(random.Random(seed))
    for _ in range(3):
        graph.make_shape()
    for _ in range(steps):
        graph.step()
    return graph.model()


def told(expression):
    return expression is not None and "?" not in str(expression)


def judge(answer, array, sizes, count):
    """What is wrong with one value."""
    dims, items = answer["dims"], answer["items"]
    count["all"] += array.ndim
    if dims is not None and len(dims) != array.ndim:
        yield f"{dims}, computed {array.shape}"
        return
    for dim, length in zip(dims or [], array.shape):
        if told(dim):
            count["known"] += 1
            if evaluate(str(dim), sizes) != length:
                yield f"dims {dims}, computed {array.shape}"
    if array.dtype.kind not in "ib" or array.size > 16:
        return
    count["all"] += array.size
    for item, number in zip(items or [], array.reshape(-1)):
        if told(item):
            count["known"] += 1
            if evaluate(str(item), sizes) != int(number):
                yield f"contents {items}, computed {array.tolist()}"
                return


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", help="the example `shapes`")
    parser.add_argument("--graphs", type=int, default=300)
    parser.add_argument("--sizes", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    models = [made(f"{args.seed}.{k}", 24) for k in range(args.graphs)]
    with tempfile.TemporaryDirectory() as folder:
        paths = [pathlib.Path(folder, f"{k}.onnx") for k in range(len(models))]
        for path, model in zip(paths, models):
            path.write_bytes(model.SerializeToString())
        done = subprocess.run([args.tool], input="\n".join(map(str, paths)), capture_output=True, text=True, check=True)
    answers = [json.loads(line)["values"] for line in done.stdout.splitlines()]
    rng, count, wrong = random.Random(args.seed), collections.Counter(), []
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    for k, (model, answer) in enumerate(zip(models, answers)):
        session = ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        for _ in range(args.sizes):
            sizes = {n: rng.choice([0, 1, 1, 2, 3, 5, 8]) for n in "abc"}
            feeds = {n: np.zeros([sizes.get(d, d) for d in dims], np.float32) for n, dims in INPUTS.items()}
            try:
                arrays = session.run(names, feeds)
            except Exception:
                count["refused"] += 1
                continue
            count["runs"] += 1
            for name, array in zip(names, arrays):
                wrong += [f"graph {k}, {name} at {sizes}: {w}" for w in judge(answer[name], array, sizes, count)]
    for line in wrong[:20]:
        print("CONTRADICTED", line)
    share = count["known"] / max(1, count["all"])
    print(f"{len(models)} graphs, {count['runs']} runs ({count['refused']} refused): {count['all']} dims and elements, "
          f"{100 * share:.1f} % known, {len(wrong)} contradicted")
    sys.exit(1 if wrong or share < AT_LEAST or count["runs"] < len(models) else 0)


if __name__ == "__main__":
    main()
