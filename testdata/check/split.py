#!/usr/bin/env python3
"""Splits exports into prefill and decode, and holds the pair to the original run in two steps.

    split.py PROGRAM CASE_DIR ... [--rows N]

Each case is rewritten by `split-prefill-decode`. The prefill model takes all but the last N tokens of the recorded
prompt, the decode model those last ones on top of what the prefill returned, and the original takes both steps with a
cache that is empty at first. All outputs of both steps must agree, the prefill must ask for no cache, and a weight of
both models must be on the disk once. A case may be refused only if its buffers have no known length.

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
import onnxruntime as ort

TOLERANCE = 1e-4


def session(path):
    """A session of a model."""
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    quiet.intra_op_num_threads = 1
    return ort.InferenceSession(path, quiet, providers=["CPUExecutionProvider"])


def run(live, feed):
    """Every output by name, from those inputs that the model asks for."""
    names = [o.name for o in live.get_outputs()]
    return dict(zip(names, live.run(names, {i.name: feed[i.name] for i in live.get_inputs()})))


def steps(feed, meta, rows):
    """The inputs of the two steps, without the caches."""
    caches = set(meta["cache_inputs"])
    chunk = feed["input_ids"].shape[-1]
    first, second = {}, {}
    for name, array in feed.items():
        if name in caches:
            continue
        first[name] = second[name] = array
        if array.dtype == bool:
            first[name], second[name] = np.zeros_like(array), np.ones_like(array)
        elif name in ("input_ids", "position_ids", "cache_position"):
            first[name], second[name] = array[..., : chunk - rows], array[..., chunk - rows :]
        elif name == "attention_mask":
            first[name] = array[..., : chunk - rows]
    return first, second


def carried(outputs, meta, before):
    """The caches of the next step. A present that is empty where the past was not says that the past still holds."""
    pairs = zip(meta["cache_inputs"], meta["cache_outputs"])
    return {past: before[past] if not outputs[now].size and before.get(past, outputs[now]).size else outputs[now] for past, now in pairs}


def unequal(got, want, step):
    """What differs, as messages."""
    for name, value in want.items():
        if name not in got:
            yield f"{step}: output {name} is gone"
        elif got[name].shape != value.shape:
            yield f"{step}: {name} is {got[name].shape}, and was {value.shape}"
        elif value.size and not np.allclose(got[name], value, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
            yield f"{step}: {name} differs by {np.abs(got[name] - value).max():.3g}"


def weights_twice(folder):
    """Large initializers that both models hold in themselves."""
    held = []
    for name in ("model.onnx", "decode.onnx"):
        model = onnx.load(os.path.join(folder, name), load_external_data=False)
        large = [t for t in model.graph.initializer if len(t.raw_data) >= 1024]
        held.append({t.raw_data for t in large})
    return len(held[0] & held[1])


def prove(program, case, rows, folder):
    """What is wrong with one case, and whether it was refused as it may be."""
    with open(os.path.join(case, "meta.json"), encoding="utf-8") as file:
        meta = json.load(file)
    source, target = os.path.join(case, "model.onnx"), os.path.join(folder, "model.onnx")
    command = [program, "run", "split-prefill-decode", source, "-o", target]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stdout + done.stderr).strip().splitlines()[-1]
        return [] if meta.get("assume") and "leaves nothing to decode" in said else [said], True
    feed = dict(np.load(os.path.join(case, "inputs.npz")))
    if feed["input_ids"].shape[-1] <= rows:
        return ["the recorded prompt is too short to be split"], False
    first, second = steps(feed, meta, rows)
    empty = {name: np.zeros_like(feed[name]) for name in meta["cache_inputs"]}
    original, prefill, decode = (session(p) for p in (source, target, os.path.join(folder, "decode.onnx")))
    asked = {i.name for i in prefill.get_inputs()} & set(meta["cache_inputs"])
    wrong = [f"the prefill asks for {name}" for name in sorted(asked)]
    want, got = run(original, {**first, **empty}), run(prefill, first)
    wrong += unequal(got, want, "prefill")
    if wrong:
        return wrong, False
    # Presents are listed in the order of the pasts.
    want = run(original, {**second, **carried(want, meta, empty)})
    got = run(decode, {**second, **carried(got, meta, empty)})
    wrong += unequal(got, want, "decode")
    twice = weights_twice(folder)
    return wrong + ([f"{twice} weights are there twice"] if twice else []), False


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("cases", nargs="+", metavar="CASE_DIR")
    parser.add_argument("--rows", type=int, default=1, help="tokens of the second step")
    options = parser.parse_args()
    passed = failed = 0
    for case in sorted(c for c in options.cases if os.path.exists(os.path.join(c, "meta.json"))):
        with tempfile.TemporaryDirectory() as folder:
            wrong, refused = prove(os.path.abspath(options.program), case, options.rows, folder)
        passed, failed = passed + (not wrong), failed + bool(wrong)
        verdict = "; ".join(wrong[:3]) or ("refused, as it may be" if refused else "both steps agree")
        print(f"{'FAIL' if wrong else 'ok  '} {os.path.basename(os.path.normpath(case))}: {verdict}", flush=True)
    print(f"{passed} passed, {failed} failed")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
