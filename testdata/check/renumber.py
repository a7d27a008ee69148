"""Renames, reorders and shuffles models, and holds `onnx-pass diff` to "no structural change".

    python renumber.py path/to/onnx-pass MODEL... [--seed N]

Of each MODEL, every name inside the graph is replaced by a number, those of subgraphs and function bodies included;
the nodes of each graph are put in another order that is valid as well; initializers and declarations are shuffled.
Inputs, outputs and functions keep their names. `diff` must then exit with 0, say "no structural change", and tell all
renames in one line.

Exits with 1 when it does not.
"""

import argparse
import pathlib
import random
import subprocess
import sys
import tempfile

import onnx
from onnx import AttributeProto


class Renamer:
    def __init__(self, rng):
        self.rng, self.count = rng, 0

    def fresh(self):
        self.count += 1
        return f"n{self.count}"

    def graph(self, g, outer, keep):
        """Renames what `g` defines; `keep` are names that stay."""
        names = dict(outer)
        own = [v.name for v in g.input] + [t.name for t in g.initializer]
        own += [t.values.name for t in g.sparse_initializer]
        own += [o for n in g.node for o in n.output]
        for name in own:
            if name:
                names[name] = name if name in keep else self.fresh()
        for v in [*g.input, *g.output, *g.value_info]:
            v.name = names.get(v.name, v.name)
        for t in g.initializer:
            t.name = names[t.name]
        for t in g.sparse_initializer:
            t.values.name = names[t.values.name]
        for q in g.quantization_annotation:
            q.tensor_name = names.get(q.tensor_name, q.tensor_name)
            for e in q.quant_parameter_tensor_names:
                e.value = names.get(e.value, e.value)
        self.nodes(g.node, names)
        self.shuffle(g.initializer)
        self.shuffle(g.value_info)

    def nodes(self, nodes, names):
        for n in nodes:
            n.name = self.fresh()
            n.input[:] = [names.get(i, i) for i in n.input]
            n.output[:] = [names.get(o, o) for o in n.output]
            for a in n.attribute:
                for g in [a.g] if a.type == AttributeProto.GRAPH else a.graphs:
                    self.graph(g, names, set())
        self.reorder(nodes)

    def function(self, f):
        names = {name: self.fresh() for name in [*f.input, *(o for n in f.node for o in n.output)] if name}
        f.input[:] = [names[i] for i in f.input]
        f.output[:] = [names.get(o, o) for o in f.output]
        for v in f.value_info:
            v.name = names.get(v.name, v.name)
        self.nodes(f.node, names)

    def shuffle(self, field):
        items = [type(x).FromString(x.SerializeToString()) for x in field]
        self.rng.shuffle(items)
        del field[:]
        field.extend(items)

    def reorder(self, nodes):
        """Another topological order: of the nodes that are ready, any may be next."""
        copies = [type(n).FromString(n.SerializeToString()) for n in nodes]
        made_by = {o: k for k, n in enumerate(copies) for o in n.output if o}
        waits = [{made_by[i] for i in reads(n) if i in made_by} - {k} for k, n in enumerate(copies)]
        readers = {}
        for k, for_ in enumerate(waits):
            for w in for_:
                readers.setdefault(w, []).append(k)
        ready = [k for k, for_ in enumerate(waits) if not for_]
        order = []
        while ready:
            k = ready.pop(self.rng.randrange(len(ready)))
            order.append(k)
            for r in readers.get(k, []):
                waits[r].discard(k)
                if not waits[r]:
                    ready.append(r)
        assert len(order) == len(copies), "a circle"
        del nodes[:]
        nodes.extend(copies[k] for k in order)


def reads(n):
    """What a node reads, the graphs in it included."""
    yield from n.input
    for a in n.attribute:
        for g in [a.g] if a.type == AttributeProto.GRAPH else a.graphs:
            yield from (o.name for o in g.output)
            for inner in g.node:
                yield from reads(inner)


def check(program, path, folder, rng):
    model = onnx.load(path, load_external_data=False)
    renamer = Renamer(rng)
    renamer.graph(model.graph, {}, {v.name for v in [*model.graph.input, *model.graph.output]})
    for f in model.functions:
        renamer.function(f)
    # Beside the original, where weights in other files are found.
    with tempfile.NamedTemporaryFile(dir=folder or path.parent, suffix=".onnx") as other:
        other.write(model.SerializeToString())
        other.flush()
        done = subprocess.run([program, "diff", str(path), other.name], capture_output=True, text=True)
    lines = done.stdout.splitlines()
    renames = [line for line in lines if line.startswith("renamed: ")]
    if done.returncode == 0 and lines[:1] in (["no structural change"], ["no change"]) and len(renames) <= 1:
        return renames[0] if renames else "nothing to rename"
    raise ValueError(f"exit code {done.returncode}: {done.stdout[:600]}{done.stderr[:300]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("models", nargs="+", type=pathlib.Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path, help="where the other model is written; its own when left out")
    args = parser.parse_args()
    good, bad = 0, 0
    for path in args.models:
        try:
            told = check(args.program, path, args.folder, random.Random(args.seed))
            good += 1
            if len(args.models) < 50:
                print(f"{path}: {told}")
        except (ValueError, AssertionError) as error:
            bad += 1
            print(f"{path}: {error}")
    print(f"{good} passed, {bad} failed")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
