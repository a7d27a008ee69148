"""Cleans up the `onnx` package's node models and holds each to its original in ONNX Runtime.

    python fold.py PROGRAM [--only PATTERN] [--list] [--jobs N]

Original and result run on the recorded inputs (bound as constants too, with `--bind`, so that there is something to
fold), and every output must have the same type, shape and bits. What differs in bits is told with the difference; it fails
the check beyond the tolerance of `onnx`'s own backend tests. A model whose original gives other answers at each run is
random, and is held to types and shapes; one that ONNX Runtime does not load is counted, and its result must not load
either or be right by the recorded outputs.

Exits with 1 when an answer changed, a model was not rewritten, or a result does not load where its original does.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnx
import onnxruntime as ort

import shapes

warnings.filterwarnings("ignore")
ort.set_default_logger_severity(4)

RTOL, ATOL = 1e-3, 1e-7


def answers(path, inputs):
    """What ONNX Runtime gives; an exception when it does not."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: inputs[i.name] for i in session.get_inputs()})


def feeds(case, model, recorded):
    """The recorded inputs by name."""
    names = [i.name for i in case.model.graph.input]
    values = {n: numbers(v) for n, v in zip(names, recorded)}
    return {i.name: values[i.name] for i in model.graph.input if i.name in values}


def numbers(value):
    """A recorded value as ONNX Runtime takes it."""
    if isinstance(value, onnx.TensorProto):
        return onnx.numpy_helper.to_array(value)
    return [numbers(v) for v in value] if isinstance(value, (list, tuple)) else value


def flat(values):
    """The arrays in outputs, those of sequences too."""
    for value in values:
        if isinstance(value, list):
            yield from flat(value)
        else:
            yield value


def differences(before, after):
    """(how bad, what) for every two arrays: `other` is a changed answer, `near` one within the tolerance."""
    before, after = list(flat(before)), list(flat(after))
    if len(before) != len(after):
        yield "other", f"{len(before)} values, now {len(after)}"
    for k, (a, b) in enumerate(zip(before, after)):
        if isinstance(a, dict) or a is None or b is None:
            if a != b:
                yield "other", f"value {k}: {a}, now {b}"
            continue
        a, b = np.asarray(a), np.asarray(b)
        if a.dtype != b.dtype or a.shape != b.shape:
            yield "other", f"value {k}: {a.dtype}{a.shape}, now {b.dtype}{b.shape}"
        elif a.dtype.kind in "OSU":
            if not np.array_equal(a, b):
                yield "other", f"value {k}: other strings"
        elif a.tobytes() != b.tobytes():
            x, y = (v.astype(np.complex128 if v.dtype.kind == "c" else np.float64) for v in (a, b))
            same_place = np.array_equal(np.isnan(x), np.isnan(y))
            close = a.dtype.kind in "fc" and same_place and np.allclose(x, y, rtol=RTOL, atol=ATOL, equal_nan=True)
            yield "near" if close else "other", f"value {k}: by up to {np.nanmax(np.abs(x - y)):.3g}"


def judge(case, model, source, target):
    """A verdict on one model, and what is to say of it."""
    if not target.exists():
        return "not rewritten", ""
    if not case.data_sets:
        return "nothing recorded", ""
    worst, notes = "same", []
    for inputs, recorded in case.data_sets:
        given = feeds(case, model, inputs)
        try:
            before = answers(source, given)
        except Exception as error:
            before, why = None, str(error)
        try:
            after = answers(target, given)
        except Exception as error:
            if before is None:
                return "not run by ONNX Runtime", why
            return "no longer runs", str(error)
        if before is None:
            found = list(differences([numbers(r) for r in recorded], after))
            worst = "runs only now" if all(how == "near" for how, _ in found) else "changed"
            notes += [what for _, what in found]
            continue
        found = list(differences(before, after))
        if any(how == "other" for how, _ in found) and list(differences(before, answers(source, given))):
            found = [f for f in found if "now" in f[1]]
            worst = "random" if worst == "same" else worst
        for how, what in found:
            notes.append(what)
            worst = "changed" if how == "other" else "same but for rounding" if worst == "same" else worst
    return worst, "; ".join(notes)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--only", default="*")
    parser.add_argument("--bind", action="store_true", help="make the recorded inputs constants")
    parser.add_argument("--list", action="store_true", help="list what is not the same")
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    cases = [c for c in shapes.node_cases() if fnmatch.fnmatch(c.name, args.only)]
    count, bad, smaller = collections.Counter(), [], 0
    with tempfile.TemporaryDirectory() as folder:

        def rewrite(case):
            source, target = pathlib.Path(folder, f"{case.name}.onnx"), pathlib.Path(folder, f"{case.name}.clean.onnx")
            model = onnx.ModelProto.FromString(case.model.SerializeToString())
            if args.bind and case.data_sets:
                model = shapes.bound(model, case.data_sets[0][0])
                case.data_sets = case.data_sets[:1]
            source.write_bytes(model.SerializeToString())
            command = [args.program, "run", "clean-up", str(source), "-o", str(target)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return model, source, target, done.stderr.strip()

        with concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
            for case, (model, source, target, said) in zip(cases, pool.map(rewrite, cases)):
                verdict, note = judge(case, model, source, target)
                count[verdict] += 1
                if verdict in ("changed", "no longer runs", "not rewritten"):
                    bad.append(f"{case.name}: {verdict}: {note or said}")
                elif args.list and verdict != "same":
                    print(f"{case.name}: {verdict}: {note[:200]}")
                if target.exists():
                    smaller += len(onnx.load(target).graph.node) < len(model.graph.node)
                    target.unlink()
                source.unlink()
    for line in bad:
        print("CHANGED", line[:300])
    told = ", ".join(f"{n} {what}" for what, n in count.most_common())
    print(f"{len(cases)} models, {smaller} with fewer nodes: {told}")
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
