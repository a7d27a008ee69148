#!/usr/bin/env python3
"""Holds passes and pipelines to two laws on real models: twice is once, and the same input gives the same bytes.

    twice.py PROGRAM MODEL.onnx [MODEL.onnx ...]

Runs the shipped pipelines that need no variables, and each pass that needs no options, alone. A refusal is counted
apart: it writes nothing. Ends with `N passed, N failed`; exit code 0: none failed.
"""

import os
import subprocess
import sys
import tempfile

PIPELINES = ["single-shot", "clean-up", "infer-shapes"]
PASSES = [
    "clip-to-float16-range", "deduplicate-initializers", "eliminate-common-subexpressions", "eliminate-dead-code",
    "eliminate-identities", "fold-constants", "infer-shapes", "inline-functions",
]


def main():
    program, models = sys.argv[1], sys.argv[2:]
    if not models:
        sys.exit(__doc__)
    counts = {"passed": 0, "refused": 0, "failed": 0}
    with tempfile.TemporaryDirectory() as folder:
        todo = list(PIPELINES)
        for name in PASSES:
            todo.append(os.path.join(folder, f"{name}.yaml"))
            with open(todo[-1], "w", encoding="utf-8") as file:
                file.write(f"version: 1\nsteps: [{{pass: {name}}}]\n")
        path = {side: os.path.join(folder, f"{side}.onnx") for side in ("once", "again", "twice")}

        def run(pipeline, source, side):
            command = [program, "run", pipeline, source, "-o", path[side]]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            return done.stderr.strip() if done.returncode else None

        def verdict(pipeline, model):
            if run(pipeline, model, "once"):
                return "refused", ""
            said = run(pipeline, model, "again") or run(pipeline, path["once"], "twice")
            if said:
                return "failed", f"the second run: {said}"
            once, again, twice = (open(path[side], "rb").read() for side in path)
            if once != again:
                return "failed", "the same input gives other bytes"
            return ("passed", "") if once == twice else ("failed", "a second run changes it")

        for model in models:
            for pipeline in todo:
                kind, why = verdict(pipeline, model)
                counts[kind] += 1
                if why:
                    print(f"FAIL {os.path.basename(pipeline)} {model}: {why}", flush=True)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['refused']} refused")
    sys.exit(counts["failed"] > 0 or counts["passed"] == 0)


if __name__ == "__main__":
    main()
