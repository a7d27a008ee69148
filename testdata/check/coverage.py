"""How much of each model's shapes is known before it runs, beside what `onnx` and ONNX Runtime's symbolic inference know.

    python coverage.py path/to/shapes FOLDER... [--only PATTERN] [--write docs/engine.md] [--list]

`shapes` is the example of that name. Each folder holds cases: a `model.onnx` with recorded inputs (`inputs*.npz`).
A value is what a node gives, in any subgraph. It is known when its rank is and every dim is a number or an expression
over names which the model's inputs declare, or `if(INPUT, THEN, OTHER)` of such, which is the one or the other as the one
element of that input is true. Then the model runs in ONNX Runtime at several sizes (each recorded set, and one
with a cache that is not empty; each with every flag either way where the inputs are as declared) with every value as an output, and each dim of a known
value must evaluate to the length that came out; where it does not, it is contradicted.

Needs onnx, onnxruntime and sympy. Exits with 1 when we know a smaller share than another of a model, when a dim of ours
is contradicted, when a model did not run at two sizes, or when an input that decides a length was not run both ways.
"""

import argparse
import collections
import concurrent.futures
import glob
import itertools
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper

import tables

warnings.filterwarnings("ignore")
ort.set_default_logger_severity(4)

WORDS = {"min", "max", "Min", "Max", "floor", "ceiling", "ceil", "Mod", "mod"}
PAST = 3


def graphs(graph):
    """A graph and its subgraphs, each before those within it."""
    found = [graph]
    for node in graph.node:
        for attribute in node.attribute:
            for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                found += graphs(inner)
    return found


def names_in(text):
    return set(re.findall(r"[A-Za-z_][\w.]*", text)) - WORDS


def dims_of(info):
    """Dims of a declared type: numbers, texts, and `None`; `None` without a rank."""
    tensor = info.type.tensor_type
    if info.type.WhichOneof("value") != "tensor_type" or not tensor.HasField("shape"):
        return None
    return [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]


def told_by(model):
    """Of each graph of an inferred model: name -> dims."""
    return [
        {v.name: dims_of(v) for part in (g.value_info, g.output) for v in part} for g in graphs(model.graph)
    ]


def by_onnx(path):
    model = onnx.shape_inference.infer_shapes(onnx.load(path), data_prop=True)
    return told_by(model)


def by_runtime(path):
    from onnxruntime.tools.symbolic_shape_infer import SymbolicShapeInference

    # With merging of symbols first: it tells more. Some models it gives up on so, or altogether.
    for merge in (True, False):
        try:
            return told_by(SymbolicShapeInference.infer_shapes(onnx.load(path), auto_merge=merge))
        except Exception:
            continue
    return None


def by_us(tool, path):
    answer = json.loads(subprocess.run([tool, path], capture_output=True, text=True, check=True).stdout)
    return [{n: f["dims"] for n, f in values.items()} for values in [answer["values"], *answer["bodies"]]]


def isolated(which, path):
    """One of the two others in a process of its own, for they may end it, and a folder: they leave files behind."""
    code = f"import json, coverage; print(json.dumps(coverage.{which}({os.path.abspath(path)!r})))"
    here = os.path.dirname(os.path.abspath(__file__))
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run([sys.executable, "-c", code], cwd=folder, env={**os.environ, "PYTHONPATH": here},
                                  capture_output=True, text=True, timeout=300, check=True)
            return json.loads(done.stdout.splitlines()[-1])
        except (subprocess.SubprocessError, ValueError, IndexError):
            return None


def choice(dim):
    """The three parts of `if(INPUT, THEN, OTHER)`; `None` of another dim. A name may stand between backquotes."""
    if not isinstance(dim, str) or not dim.startswith("if(") or not dim.endswith(")"):
        return None
    depth, quoted, commas = 0, False, []
    for at, char in enumerate(dim):
        quoted ^= char == "`"
        if not quoted:
            depth += (char == "(") - (char == ")")
            if char == "," and depth == 1:
                commas.append(at)
    if len(commas) != 2:
        return None
    name, then, other = (part.strip() for part in (dim[3 : commas[0]], dim[commas[0] + 1 : commas[1]], dim[commas[1] + 1 : -1]))
    return name[1:-1].replace("``", "`") if name.startswith("`") else name, then, other


def deciders(dim):
    """The inputs that decide a dim."""
    parts = choice(dim)
    return {parts[0]} | deciders(parts[1]) | deciders(parts[2]) if parts else set()


class Names:
    """What a model's inputs declare. An input and a length may have one name."""

    def __init__(self, graph):
        self.inputs = {i.name for i in graph.input}
        self.symbols = {n for i in graph.input for d in dims_of(i) or [] if isinstance(d, str) for n in names_in(d)}

    def tell(self, dim):
        """Whether a dim is known when these are."""
        if dim is None or isinstance(dim, int):
            return dim is not None
        if parts := choice(dim):
            return parts[0] in self.inputs and self.tell(parts[1]) and self.tell(parts[2])
        return bool(dim) and "?" not in dim and names_in(dim) <= self.symbols


def known(dims, names):
    return dims is not None and all(map(names.tell, dims))


class Run:
    """What a run was given: the length that each declared name has, and which inputs of one element are true."""

    def __init__(self, inputs, feeds, defaults):
        self.sizes = solve(inputs, feeds)
        self.truths = {n: bool(a.reshape(-1)[0]) for n, a in {**defaults, **feeds}.items() if a.size == 1}

    def __str__(self):
        flags = {n: t for n, t in self.truths.items() if n not in self.sizes}
        return f"{self.sizes} with {flags}" if flags else str(self.sizes)


def evaluate(dim, run):
    if parts := choice(dim):
        return evaluate(parts[1] if run.truths[parts[0]] else parts[2], run)
    sizes = run.sizes
    if isinstance(dim, int) or re.fullmatch(r"-?\d+", dim):
        return int(dim)
    ways = {"min": min, "max": max, "Min": min, "Max": max, "floor": math.floor, "ceiling": math.ceil, "ceil": math.ceil,
            "Mod": lambda a, b: a % b, "mod": lambda a, b: a % b}
    keys = {n: re.sub(r"\W", "_", n) for n in sizes}
    text = re.sub(r"[A-Za-z_][\w.]*", lambda m: keys.get(m.group(), m.group()), dim)
    return eval(text, {"__builtins__": {}}, {**ways, **{keys[n]: v for n, v in sizes.items()}})


def solve(inputs, feeds):
    """The length that each declared name has in these inputs; those of a lone name first."""
    sizes = {}
    for info in inputs:
        for dim, length in zip(dims_of(info) or [], feeds[info.name].shape):
            if isinstance(dim, str) and names_in(dim) == {dim}:
                sizes.setdefault(dim, length)
    return sizes


def with_past(inputs, feeds, sizes):
    """The same inputs with every cache that was empty holding some rows; `None` where there is no such cache.

    Exporters declare the length of a mask as `past + sequence`, as a name of its own, or wrongly (`past + 1`), and some
    models are told the length in a number: all of them grow by the rows of the cache.
    """
    empty = {n for n, v in sizes.items() if v == 0}
    if not empty:
        return None
    larger = {n: PAST if n in empty else v for n, v in sizes.items()}
    readers = collections.Counter(n for i in inputs for d in dims_of(i) or [] for n in names_in(str(d)))
    rng = np.random.default_rng(0)
    more = {}
    for info in inputs:
        was, dims = feeds[info.name], dims_of(info) or []
        shape = list(was.shape)
        for axis, dim in enumerate(dims):
            if dim in larger and readers[dim] > 1:
                shape[axis] = larger[dim]
            elif isinstance(dim, str) and names_in(dim) & empty:
                shape[axis] += PAST
            elif axis == 1 and "mask" in info.name and isinstance(dim, str) and readers[dim] == 1:
                shape[axis] += PAST
        if was.dtype == np.bool_ and was.size <= 1:
            more[info.name] = np.ones_like(was)
        elif "seqlens" in info.name or info.name.endswith("total_sequence_length"):
            more[info.name] = was + np.asarray(PAST, was.dtype)
        elif tuple(shape) == was.shape:
            more[info.name] = was
        elif was.dtype.kind == "f":
            more[info.name] = rng.standard_normal(shape).astype(was.dtype)
        else:
            more[info.name] = np.ones(shape, was.dtype)
    return more


def with_flags(inputs, feeds):
    """The same inputs with every flag as it is, and the other way.

    What is recorded may break a declaration where the branch that it takes does not mind: the caches of an encoder are
    empty, whatever its length. The other branch minds, so such inputs stay as they are.
    """
    sizes = solve(inputs, feeds)
    lone = [(d, n) for i in inputs for d, n in zip(dims_of(i) or [], feeds[i.name].shape) if d in sizes]
    flags = [i.name for i in inputs if feeds[i.name].dtype == np.bool_ and feeds[i.name].size == 1]
    if any(sizes[d] != n for d, n in lone):
        flags = []
    for turned in itertools.product([False, True], repeat=len(flags)):
        yield {**feeds, **{n: feeds[n] ^ t for n, t in zip(flags, turned)}}


def flattened(model, feeds):
    """The graph that runs for these inputs: an `If` on an input is the branch that it takes. Gives it with the
    place of each of its values, a graph's number and a name."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    # The list keeps the graphs' ids their own.
    order = graphs(copy.graph)
    number = {id(g): k for k, g in enumerate(order)}
    nodes, place = [], {}

    def lay(graph, names):
        """Adds the nodes of a graph; `names` says what its values and those around it are called now."""
        here = number[id(graph)]
        for node in graph.node:
            node.input[:] = [names.get(i, i) for i in node.input]
            taken = feeds.get(node.input[0]) if node.op_type == "If" else None
            if taken is None:
                for k, old in enumerate(node.output):
                    if old:
                        node.output[k] = names[old] = f"{old}@{here}"
                        place[names[old]] = (here, old)
                nodes.append(node)
                for attribute in node.attribute:
                    for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                        rename(inner, names)
                continue
            branch = next(a.g for a in node.attribute if a.name == ("then_branch" if taken.all() else "else_branch"))
            inside = dict(names)
            for tensor in branch.initializer:
                inside[tensor.name] = f"{tensor.name}@{number[id(branch)]}"
                tensor.name = inside[tensor.name]
            initializers.extend(branch.initializer)
            lay(branch, inside)
            for old, new in zip(branch.output, node.output):
                names[new] = f"{new}@{here}"
                nodes.append(helper.make_node("Identity", [inside.get(old.name, old.name)], [names[new]]))
                place[names[new]] = (here, new)

    def rename(graph, names):
        """Inside a body that stays: what it captures has the new names."""
        own = {t.name for t in graph.initializer} | {i.name for i in graph.input} | {o for n in graph.node for o in n.output}
        names = {k: v for k, v in names.items() if k not in own}
        for node in graph.node:
            node.input[:] = [names.get(i, i) for i in node.input]
            for attribute in node.attribute:
                for inner in [attribute.g] if attribute.HasField("g") else attribute.graphs:
                    rename(inner, names)
        for output in graph.output:
            output.name = names.get(output.name, output.name)

    initializers = []
    lay(copy.graph, {})
    kept = [onnx.NodeProto.FromString(n.SerializeToString()) for n in nodes]
    inner = [onnx.TensorProto.FromString(t.SerializeToString()) for t in initializers]
    del copy.graph.node[:]
    copy.graph.node.extend(kept)
    copy.graph.initializer.extend(inner)
    del copy.graph.value_info[:]
    del copy.graph.output[:]
    copy.graph.output.extend(helper.make_empty_tensor_value_info(name) for name in place)
    return copy, place


def lengths(model, feeds):
    """The shapes that come out when the model runs: (graph, name) -> shape."""
    flat, place = flattened(model, feeds)
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(flat.SerializeToString(), options, providers=["CPUExecutionProvider"])
    wanted = {i.name for i in session.get_inputs()}
    results = session.run(list(place), {n: a for n, a in feeds.items() if n in wanted})
    return {place[n]: a.shape for n, a in zip(place, results) if isinstance(a, np.ndarray)}


def runs(case, model):
    """(what was given, shapes that came out) of each run."""
    given = {t.name for t in model.graph.initializer}
    small = [t for t in model.graph.initializer if math.prod(t.dims) == 1 and t.data_location != t.EXTERNAL]
    defaults = {t.name: onnx.numpy_helper.to_array(t) for t in small}
    inputs = [i for i in model.graph.input if i.name not in given]
    for file in sorted(glob.glob(os.path.join(case, "inputs*.npz"))):
        recorded = np.load(file)
        if any(i.name not in recorded for i in inputs):
            continue
        feeds = {i.name: recorded[i.name] for i in inputs}
        sizes = solve(inputs, feeds)
        tries = [feeds]
        if more := with_past(inputs, feeds, sizes):
            tries.append(more)
        for one in (flagged for one in tries for flagged in with_flags(inputs, one)):
            try:
                yield Run(inputs, one, defaults), lengths(model, one)
            except Exception as error:
                yield Run(inputs, one, defaults), str(error)


def contradicted(told, runs_of, names):
    """Dims of known values which a run refutes."""
    bad = {}
    for run, came in runs_of:
        if isinstance(came, str):
            continue
        for (graph, name), shape in came.items():
            dims = told[graph].get(name) if graph < len(told) else None
            if dims is None:
                continue
            if len(dims) != len(shape):
                bad[graph, name] = f"{dims}, computed {list(shape)}"
                continue
            for dim, length in zip(dims, shape):
                # Dims of values that are not known in whole are held to it as well.
                if not names.tell(dim):
                    continue
                if evaluate(dim, run) != length:
                    bad[graph, name] = f"{dims} at {run}, computed {list(shape)}"
    return bad


def measure(tool, case):
    path = os.path.join(case, "model.onnx")
    model = onnx.load(path)
    names = Names(model.graph)
    values = [(k, o) for k, g in enumerate(graphs(model.graph)) for n in g.node for o in n.output if o]
    told = {"ours": by_us(tool, path), "onnx": isolated("by_onnx", path), "onnxruntime": isolated("by_runtime", path)}
    done = list(runs(case, model))
    went = [run for run, came in done if not isinstance(came, str)]
    answer = {"values": len(values), "runs": len({json.dumps(run.sizes, sort_keys=True) for run in went})}
    answer["failed runs"] = [came.splitlines()[0] for _, came in done if isinstance(came, str)]
    decide = {n for values in told["ours"] for dims in values.values() for d in dims or [] for n in deciders(d)}
    answer["one way"] = sorted(n for n in decide if len({run.truths.get(n) for run in went}) < 2)
    for who, what in told.items():
        if what is None:
            answer[who] = None
            continue
        bad = contradicted(what, done, names)
        missing = [(k, o) for k, o in values if k >= len(what) or not known(what[k].get(o), names)]
        # What a run refutes is not known.
        missing += [at for at in bad if at not in missing]
        answer[who] = {"known": len(values) - len(missing), "contradicted": bad,
                       "missing": [(k, o, what[k].get(o) if k < len(what) else None) for k, o in missing]}
    return answer


def share(answer, who):
    return 0.0 if answer[who] is None else 100.0 * answer[who]["known"] / max(1, answer["values"])


def table(results):
    rows = []
    for name, answer in results.items():
        cells = []
        for who in ("ours", "onnx", "onnxruntime"):
            if answer[who] is None:
                cells += ["fails", ""]
            else:
                cells += [f"{share(answer, who):.1f} %", len(answer[who]["contradicted"])]
        cells[0] = f"**{cells[0]}**"
        rows.append([name, answer["values"], *cells, answer["runs"]])
    head = ["model", "values", "ours", "contradicted", "onnx", "contradicted", "onnxruntime", "contradicted", "sizes run"]
    return tables.markdown(head, rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tool", help="the example `shapes`")
    parser.add_argument("folders", nargs="+")
    parser.add_argument("--only", default="*")
    parser.add_argument("--write", help="put the table into this page")
    parser.add_argument("--list", action="store_true", help="list what we do not know")
    args = parser.parse_args()
    cases = tables.cases(args.folders, args.only)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        results = dict(zip(map(os.path.basename, cases), pool.map(lambda c: measure(args.tool, c), cases)))
    wrong = []
    for name, answer in results.items():
        for at, what in answer["ours"]["contradicted"].items():
            wrong.append(f"{name}: CONTRADICTED {at}: {what}")
        for who in ("onnx", "onnxruntime"):
            if share(answer, who) > share(answer, "ours"):
                wrong.append(f"{name}: {who} knows more")
        for decider in answer["one way"]:
            wrong.append(f"{name}: `{decider}` decides lengths and was not run both ways")
        if answer["runs"] < 2:
            wrong.append(f"{name}: ran at {answer['runs']} sizes: {answer['failed runs'][:1]}")
        if args.list:
            for at in answer["ours"]["missing"]:
                print(name, *at)
            for why in answer["failed runs"]:
                print(name, "did not run:", why)
    print(table(results))
    print(*wrong, sep="\n")
    if args.write:
        tables.put(args.write, "coverage", table(results))
    count = collections.Counter(values=sum(a["values"] for a in results.values()),
                                known=sum(a["ours"]["known"] for a in results.values()))
    print(f"{len(results)} models, {count['known']} of {count['values']} values known; {len(wrong)} things wrong")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
