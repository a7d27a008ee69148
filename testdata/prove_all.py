#!/usr/bin/env python3
"""Rewrites every export here with the built program, and holds each rewrite to its recorded answers.

    prove_all.py PROGRAM [--out FOLDER] [CASE ...]

A case whose name, with hyphens, is that of a shipped pipeline is rewritten by it, each set with its own variables; the
others by `single-shot` with the promises that `meta.json` names. A set marked `separate` gets a rewrite of its own; for
a case of `single-shot` that is one without the promises beyond `single-prefill`, and being refused is right there. What
is proven is held to the original once more by `onnx-pass verify`, which must also notice one changed weight.

Prints a line for each and ends with `N passed, N failed`. Exit code 0: none failed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import onnx
from onnx import numpy_helper

HERE = os.path.dirname(os.path.abspath(__file__))
PIPELINES = os.path.join(os.path.dirname(HERE), "passes")


class Tally:
    """What passed and failed so far."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def note(self, good, line):
        """Counts and prints."""
        self.passed, self.failed = self.passed + good, self.failed + (not good)
        print(f"{'ok  ' if good else 'FAIL'} {line}", flush=True)


def call(*command):
    """Runs a command; its exit code and what it said."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def last_line(text):
    """The last line, for messages."""
    return text.splitlines()[-1] if text else ""


def groups(case, meta, shipped):
    """Rewrites that a case needs: arguments of `run`, the sets that they serve, and whether a refusal is right."""
    promises = meta.get("assume") or ["single-prefill"]
    together = [n for n, facts in meta["sets"].items() if not facts.get("separate")]
    alone = [n for n, facts in meta["sets"].items() if facts.get("separate")]
    if shipped:
        # Sets with the same variables share a rewrite.
        for name in dict.fromkeys(json.dumps(facts.get("set", {})) for facts in meta["sets"].values()):
            names = [n for n, facts in meta["sets"].items() if json.dumps(facts.get("set", {})) == name]
            values = [f"--set={k}={v}" for k, v in json.loads(name).items()]
            yield [shipped, *values], names, False
        return
    yield ["single-shot", f"--set=assume=[{', '.join(promises)}]"], together, False
    for name in alone:
        yield ["single-shot", "--set=assume=[single-prefill]"], [name], True


def suffix(name):
    """The ending of a set's files."""
    return "" if name == "main" else f"_{name}"


def changed_weight(model, path):
    """Writes the model with one element of its largest weight changed."""
    loaded = onnx.load(model)
    floats = [t for t in loaded.graph.initializer if t.data_type == onnx.TensorProto.FLOAT]
    matrices = [t for t in floats if len(t.dims) == 2 and t.name not in {i for n in loaded.graph.node if n.op_type == "Gather" for i in n.input[:1]}]
    tensor = max(matrices or floats, key=lambda t: int(np.prod(t.dims)))
    array = numpy_helper.to_array(tensor).copy()
    array.flat[array.size // 2] += 0.5
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(loaded, path)


def prove(program, case, out, tally):
    """All rewrites of one case."""
    folder = os.path.join(HERE, case)
    with open(os.path.join(folder, "meta.json"), encoding="utf-8") as file:
        meta = json.load(file)
    source = os.path.join(folder, "model.onnx")
    name = case.replace("_", "-")
    shipped = name if os.path.exists(os.path.join(PIPELINES, f"{name}.yaml")) else None
    renames = [f"--rename={new}={old}" for new, old in meta.get("rename", {}).items()]
    for index, (arguments, sets, may_refuse) in enumerate(groups(case, meta, shipped)):
        target = os.path.join(out, case, str(index), "model.onnx")
        code, said = call(program, "run", arguments[0], source, "-o", target, *arguments[1:])
        if code:
            refused = may_refuse and code == 1 and not os.path.exists(target)
            tally.note(refused, f"{case} ({', '.join(sets)}): {'refused, as it may be' if refused else 'not rewritten'}: {last_line(said)}")
            continue
        for one in sets:
            code, said = call(sys.executable, os.path.join(HERE, "prove.py"), folder, target, "--set-name", one)
            tally.note(code == 0, last_line(said))
        verify(program, (folder, source, target), [one for one in sets if "pad" not in one], renames, tally)
        if index == 0:
            broken = os.path.join(out, case, "broken.onnx")
            changed_weight(target, broken)
            code, said = call(program, "verify", source, broken, recorded(folder, "main"), *renames)
            tally.note(code == 1 and "NOT equal" in said, f"{case}: verify says {last_line(said)!r} of one changed weight")


def verify(program, files, sets, renames, tally):
    """The rewrite and its original side by side, on sets without padding, whose truth is another run."""
    folder, source, target = files
    case = os.path.basename(folder)
    equal, without = [], []
    for one in sets:
        code, said = call(program, "verify", source, target, recorded(folder, one), *renames)
        if code == 0:
            equal.append(one)
        elif "ONNX Runtime refuses the original model" in said:
            # Where it is recorded all the same, the truth came from the framework.
            without.append(one)
        else:
            tally.note(False, f"{case}: verify on {one}: {last_line(said)}")
    if sets:
        rest = f"; the original does not run on {', '.join(without)}" if without else ""
        tally.note(bool(equal), f"{case}: verify says equal on {', '.join(equal)}{rest}")


def recorded(folder, name):
    """The argument that names a set's inputs."""
    return f"--inputs={os.path.join(folder, f'inputs{suffix(name)}.npz')}"


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("cases", nargs="*", metavar="CASE")
    parser.add_argument("--out", help="keep the rewrites here")
    options = parser.parse_args()
    every = sorted(d for d in os.listdir(HERE) if os.path.exists(os.path.join(HERE, d, "meta.json")))
    tally = Tally()
    with tempfile.TemporaryDirectory() as scratch:
        for case in options.cases or every:
            prove(os.path.abspath(options.program), case, options.out or scratch, tally)
    print(f"{tally.passed} passed, {tally.failed} failed")
    sys.exit(bool(tally.failed))


if __name__ == "__main__":
    main()
