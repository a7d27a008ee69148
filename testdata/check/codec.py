"""Proves the codec on many models: every message encoded anew, and the spliced form after an edit, must equal
the source field by field, unknown fields included, as the official decoder sees them.

    pip install onnx==1.23.2 numpy
    cargo build --release -p onnx-pass-ir --example reencode
    python testdata/check/codec.py target/release/examples/reencode [MODEL.onnx ...]

Without models it takes those of the `onnx` package's node tests.
"""

import os
import subprocess
import sys
import tempfile
import warnings

import onnx

BATCH = 200


def node_models(folder):
    from onnx.backend.test.case.node import collect_testcases

    warnings.filterwarnings("ignore")
    for case in collect_testcases(None):
        if case.model is not None:
            path = os.path.join(folder, case.name + ".onnx")
            with open(path, "wb") as f:
                f.write(case.model.SerializeToString())
            yield path


def load(path):
    with open(path, "rb") as f:
        data = f.read()
    return data, onnx.ModelProto.FromString(data)


def compare(path, folder):
    """The forms of a model that differ, and how many are byte-identical."""
    data, want = load(path)
    wrong, identical = [], 0
    for prefix in ("", "spliced__"):
        written = os.path.join(folder, prefix + path.replace("/", "__"))
        if not os.path.exists(written):
            wrong.append(prefix or "anew: not written")
            continue
        got_data, got = load(written)
        identical += got_data == data
        os.remove(written)
        canonical = [m.SerializeToString(deterministic=True) for m in (want, got)]
        if want != got or canonical[0] != canonical[1]:
            wrong.append(prefix or "anew")
    return wrong, identical


def main():
    tool, paths = sys.argv[1], sys.argv[2:]
    bad = identical = 0
    with tempfile.TemporaryDirectory() as folder:
        if not paths:
            models = os.path.join(folder, "models")
            os.mkdir(models)
            paths = list(node_models(models))
        written = os.path.join(folder, "written")
        os.mkdir(written)
        for start in range(0, len(paths), BATCH):
            batch = paths[start : start + BATCH]
            run = subprocess.run([tool, written, *batch], stderr=subprocess.PIPE, text=True, check=False)
            if run.returncode:
                sys.exit(f"{tool} failed: {run.stderr[-500:]}")
            for path in batch:
                wrong, same = compare(path, written)
                identical += same
                if wrong:
                    bad += 1
                    print("differs:", path, wrong)
    print(f"{len(paths)} models, {2 * len(paths)} forms, {identical} byte-identical, {bad} models differ")
    if not paths or bad:
        sys.exit(1)


if __name__ == "__main__":
    main()
