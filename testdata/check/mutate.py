#!/usr/bin/env python3
"""Breaks caches at random and sees that no broken model is rewritten into another one.

    mutate.py BINARY CASE_DIR... [--count N] [--seed S] [--jobs J] [--save DIR] [--only GLOB]

Each mutant is a recorded case with one thing changed about a cache: another axis, a second use, a shifted row, a
swapped pair, another mask. BINARY (`onnx-pass`) runs `eliminate-kv-cache` on it, with the promises of the case. What
comes out is one of

    equal     the rewritten model gives what the mutant gives on an empty cache, in ONNX Runtime
    refused   nothing was written, and a reason was given
    kept      it was written, equal, and still has the cache: it was not taken for one
    idle      ONNX Runtime cannot run the mutant with an empty cache, so that there is nothing to compare with; the
              rewriting was not refused
    wrong     another answer, an output that is gone, a model that does not load, or a crash

Exit code 1 when any is wrong. `--save` keeps those, with the mutants they were made of. The same seed gives the same
mutants. Needs numpy, onnx, onnxruntime.
"""

import argparse
import collections
import concurrent.futures
import fnmatch
import glob
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime as ort

from mutations import MUTATIONS, Mutant, NotHere

TOLERANCE = 2e-4


def arguments():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("binary")
    parser.add_argument("cases", nargs="+")
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--save", metavar="DIR", help="keep what went wrong here")
    parser.add_argument("--only", default="*", metavar="GLOB", help="mutations of this name")
    parser.add_argument("--verbose", action="store_true", help="a line for each mutant")
    return parser.parse_args()


def sets_of(case, meta):
    """The recorded inputs: pairs of a name and what is fed, the caches as empty as their form has it."""
    caches = set(meta["cache_inputs"])
    for path in sorted(glob.glob(os.path.join(case, "inputs*.npz"))):
        name = os.path.basename(path)[len("inputs") : -len(".npz")].lstrip("_") or "main"
        facts = meta.get("sets", {}).get(name, {})
        recorded = os.path.exists(path.replace("inputs", "expected"))
        if recorded and not facts.get("separate"):
            feed = {n: np.zeros_like(a) if n in caches else a for n, a in np.load(path).items()}
            yield name, chunk_is_context(feed, meta), facts.get("real_rows")


def chunk_is_context(feed, meta):
    """The same with fixed buffers of the chunk's length, as a single prefill has them."""
    if not meta.get("assume") or "position_ids" not in feed:
        return feed
    chunk = feed["position_ids"].shape[-1]
    for entry in meta["inputs"]:
        if entry["name"] in meta["cache_inputs"]:
            dims = [chunk if d in ("ctx_len", "sliding_window") else n for d, n in zip(entry["shape"], feed[entry["name"]].shape)]
            feed[entry["name"]] = np.zeros(dims, feed[entry["name"]].dtype)
        elif entry["name"] == "comp_ctx_lengths":
            feed[entry["name"]] = np.zeros(chunk, feed[entry["name"]].dtype)
    return feed


def lengths_of(model):
    """What each axis of each input declares: pairs of its place and a name or number."""
    for entry in model.graph.input:
        for axis, dim in enumerate(entry.type.tensor_type.shape.dim):
            if dim.WhichOneof("value"):
                yield (entry.name, axis), dim.dim_param or dim.dim_value


def contradicts(model, feed, anyway=()):
    """Where a feed breaks what the inputs declare: one name is one length. Places in `anyway` do not count."""
    lengths, broken = {}, {}
    for (name, axis), declared in lengths_of(model):
        if name not in feed or (name, axis, declared) in anyway:
            continue
        length = feed[name].shape[axis]
        known = declared if isinstance(declared, int) else lengths.setdefault(declared, length)
        if known != length and declared != 0:
            broken[name, axis, declared] = f"{name} is to be of one length with another input, and is not as recorded"
    return broken


def session(model):
    """A session of a path, or the reason that there is none."""
    quiet = ort.SessionOptions()
    quiet.log_severity_level = 4
    quiet.intra_op_num_threads = 1
    quiet.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    try:
        return ort.InferenceSession(model, quiet, providers=["CPUExecutionProvider"]), None
    except Exception as error:  # ONNX Runtime has no common error type
        return None, str(error).splitlines()[0][:300]


def answers(live, feed):
    """What a model gives, or the reason that it gives nothing."""
    try:
        names = [o.name for o in live.get_outputs()]
        wanted = {i.name: feed[i.name] for i in live.get_inputs() if i.name in feed}
        return dict(zip(names, live.run(names, wanted))), None
    except Exception as error:  # ONNX Runtime has no common error type
        return None, str(error).splitlines()[0][:300]


def unequal(got, want, rows):
    """Why two answers differ, or None. Of padded prompts the real rows count."""
    if got.dtype != want.dtype or got.shape != want.shape:
        return f"is {got.dtype}{list(got.shape)} and was {want.dtype}{list(want.shape)}"
    if rows and want.ndim > 1 and len(rows) == len(want) and want.shape[1] >= max(rows):
        real = np.arange(want.shape[1])[None] < np.array(rows)[:, None]
        got, want = got[real], want[real]
    got, want = got.astype(np.float64), want.astype(np.float64)
    if np.allclose(got, want, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        return None
    gap = np.abs(got - want)
    return f"differs by {np.nanmax(gap) if np.isfinite(gap).any() else float('nan'):.3g}"


def rewrite(binary, promises, source, target):
    """Runs the pass; gives the exit code and what it said."""
    folder = os.path.dirname(target)
    pipeline = os.path.join(folder, "pipeline.yaml")
    with open(pipeline, "w") as file:
        step = {"pass": "eliminate-kv-cache", "with": {"assume": promises}}
        json.dump({"version": 1, "steps": [step]}, file)
    command = [binary, "run", pipeline, source, "-o", target]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    return done.returncode, (done.stdout + done.stderr).strip()


def refusal(said):
    """The line of a report that gives the reason."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    reasons = [line for line in lines if "error" in line.lower() or "refused" in line.lower()]
    return (reasons or lines or [""])[0][:240]


def judge(binary, case, meta, mutant, folder):
    """The outcome of one mutant, and why."""
    source, target = os.path.join(folder, "mutant.onnx"), os.path.join(folder, "rewritten.onnx")
    onnx.save(mutant.model, source)
    try:
        code, said = rewrite(binary, meta.get("assume") or ["single-prefill"], source, target)
    except subprocess.TimeoutExpired:
        return "wrong", "the rewriting does not end"
    if code != 0:
        # 2: it did not take the arguments, so it refused nothing.
        crashed = code < 0 or code in (2, 101) or "panicked" in said or "please report" in said
        if os.path.exists(target):
            return "wrong", "refused, and a model was written"
        return ("wrong", f"crashed: {said[-300:]}") if crashed else ("refused", refusal(said))
    before, unready = session(source)
    if before is None:
        return "idle", f"does not load: {unready}"
    runs, why = runs_of(before, case, meta, mutant)
    if not runs:
        return "idle", why
    after, broken = session(target)
    if after is None:
        return "wrong", f"does not load: {broken}"
    asked = {i.name for i in after.get_inputs()}
    caches = {mutant.names.get(n, n) for n in meta["cache_inputs"] + meta["cache_outputs"]} | mutant.copies
    renamed = {old: new for new, old in (meta.get("rename") or {}).items()}
    for name, feed, rows, want in runs:
        got, fault = answers(after, feed)
        if got is None:
            return "wrong", f"set {name}: does not run: {fault}"
        for output, value in want.items():
            output = output if output in got else renamed.get(output, output)
            if output not in got:
                if output not in caches:
                    return "wrong", f"output {output} is gone"
                continue
            fault = unequal(got[output], value, rows)
            if fault:
                return "wrong", f"set {name}: {output} {fault}"
    return ("kept" if asked & caches else "equal"), ""


def runs_of(before, case, meta, mutant):
    """What the mutant itself gives on each set that it runs on, and why it runs on none."""
    runs, why = [], "no set"
    for name, feed, rows in sets_of(case, meta):
        # Some exports are recorded with lengths that they do not declare (a cross cache that is empty).
        anyway = {(mutant.names.get(n, n), axis, d) for n, axis, d in contradicts(mutant.original, feed)}
        feed = {mutant.names.get(n, n): a for n, a in feed.items()}
        fault = next(iter(contradicts(mutant.model, feed, anyway).values()), None)
        want, fault = (None, fault) if fault else answers(before, feed)
        if want is None:
            why = fault
        else:
            runs.append((name, feed, rows, want))
    return runs, why


def one(work):
    """Makes and judges one mutant."""
    binary, cases, seed, only, save = work
    dice = random.Random(seed)
    names = [n for n in MUTATIONS if fnmatch.fnmatch(n, only)]
    for _ in range(200):
        case, name = dice.choice(cases), dice.choice(names)
        with open(os.path.join(case, "meta.json")) as file:
            meta = json.load(file)
        mutant = Mutant(onnx.load(os.path.join(case, "model.onnx")), meta, dice)
        try:
            mutant.soften()
            did = MUTATIONS[name](mutant)
        except NotHere:
            continue
        with tempfile.TemporaryDirectory() as folder:
            outcome, why = judge(binary, case, meta, mutant, folder)
            title = os.path.basename(os.path.normpath(case))
            if outcome == "wrong" and save:
                shutil.copytree(folder, os.path.join(save, f"{title}-{name}-{seed}"), dirs_exist_ok=True)
        return outcome, title, name, did, why, seed
    return "none", "", "", "nothing to break was found", "", seed


def main():
    """Breaks, rewrites, counts."""
    options = arguments()
    cases = sorted(c for c in options.cases if os.path.exists(os.path.join(c, "model.onnx")))
    if not cases:
        sys.exit("mutate.py: no case holds a model.onnx")
    binary = os.path.abspath(options.binary)
    work = [
        (binary, cases, options.seed * 1_000_000 + k, options.only, options.save) for k in range(options.count)
    ]
    outcomes, by_mutation = collections.Counter(), collections.defaultdict(collections.Counter)
    with concurrent.futures.ProcessPoolExecutor(options.jobs) as pool:
        for outcome, title, name, did, why, seed in pool.map(one, work):
            outcomes[outcome] += 1
            by_mutation[name][outcome] += 1
            if outcome == "wrong" or options.verbose:
                print(f"{outcome}: {title}: {name}: {did}: {why} [{seed}]", flush=True)
    kinds = ["equal", "refused", "kept", "idle", "wrong"]
    for name, counts in sorted(by_mutation.items()):
        print(f"{name:28}" + "".join(f"{counts[k]:5} {k}" for k in kinds))
    print(f"{sum(outcomes.values())} mutants: " + ", ".join(f"{outcomes[k]} {k}" for k in kinds))
    # Where nothing at all could be compared, nothing was shown.
    shown = outcomes["equal"] + outcomes["kept"] > 0
    sys.exit(1 if outcomes["wrong"] or outcomes["none"] or not shown else 0)


if __name__ == "__main__":
    main()
