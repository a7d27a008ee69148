"""Nothing is lost: every model comes back from an empty pipeline byte by byte, or is refused in one line.

    python testdata/check/identical.py BINARY MODEL.onnx ...

A model whose bytes are others must be equal field by field, unknown fields included, as the official decoder sees it.
"""

import os
import subprocess
import sys
import tempfile

import onnx


def fields(path):
    with open(path, "rb") as f:
        return onnx.ModelProto.FromString(f.read())


def main():
    binary, models = os.path.abspath(sys.argv[1]), sys.argv[2:]
    counts = {"identical": 0, "equal field by field": 0, "refused": 0}
    failed = 0
    with tempfile.TemporaryDirectory() as folder:
        pipeline = os.path.join(folder, "empty.yaml")
        with open(pipeline, "w") as f:
            f.write("version: 1\nname: empty\nsteps: []\n")
        for model in models:
            out = os.path.join(folder, "out", "o.onnx")
            if os.path.exists(out):
                os.remove(out)
            done = subprocess.run([binary, "run", pipeline, model, "-o", out, "--allow-symlinks"], capture_output=True, text=True)
            if done.returncode == 1 and done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and not os.path.exists(out):
                counts["refused"] += 1
                print(f"refused: {done.stderr.strip()}")
            elif done.returncode == 0 and open(model, "rb").read() == open(out, "rb").read():
                counts["identical"] += 1
            elif done.returncode == 0 and fields(model) == fields(out):
                counts["equal field by field"] += 1
                print(f"other bytes: {model}")
            else:
                failed += 1
                print(f"FAILED: {model}: exit code {done.returncode} {done.stderr.strip()}")
    print(", ".join(f"{n} {what}" for what, n in counts.items()))
    print(f"{sum(counts.values())} passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
