"""A model of 3 GB in one file, which no other reader takes: read, rewritten, written with its weights beside it, run.

    pip install numpy onnxruntime
    python testdata/check/large.py BINARY [FOLDER]      # 7 GB of disk

Products with a diagonal of 1 or -1, so that the answer is exact, and an Identity after each to be taken out.
"""

import os
import shutil
import struct
import subprocess
import sys
import tempfile

import numpy as np

WIDTH, LAYERS = 4096, 46


def varint(n):
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out + bytes([n]))


def number(field, n):
    return varint(field << 3) + varint(n)


def piece(field, payload):
    return varint(field << 3 | 2) + varint(len(payload)) + payload


def node(op, inputs, output):
    names = b"".join(piece(1, name.encode()) for name in inputs)
    return piece(1, names + piece(2, output.encode()) + piece(4, op.encode()))


def declared(field, name):
    dims = piece(1, piece(2, b"batch")) + piece(1, number(1, WIDTH))
    tensor = piece(1, number(1, 1) + piece(2, dims))
    return piece(field, piece(1, name.encode()) + piece(2, tensor))


def weight(k):
    """The header of an initializer; its bytes follow."""
    head = number(1, WIDTH) + number(1, WIDTH) + number(2, 1) + piece(8, f"w{k}".encode())
    head += varint(9 << 3 | 2) + varint(4 * WIDTH * WIDTH)
    return varint(5 << 3 | 2) + varint(len(head) + 4 * WIDTH * WIDTH) + head


def write(path):
    nodes, at = b"", "x"
    for k in range(LAYERS):
        nodes += node("MatMul", [at, f"w{k}"], f"m{k}") + node("Identity", [f"m{k}"], f"i{k}")
        at = f"i{k}"
    nodes += node("Relu", [at], "y") + piece(2, b"g")
    tail = declared(11, "x") + declared(12, "y")
    heads = [weight(k) for k in range(LAYERS)]
    length = len(nodes) + len(tail) + sum(len(h) + 4 * WIDTH * WIDTH for h in heads)
    with open(path, "wb") as f:
        f.write(number(1, 8) + varint(7 << 3 | 2) + varint(length) + nodes)
        for k, head in enumerate(heads):
            f.write(head)
            f.write(np.diag(np.full(WIDTH, 1 if k % 2 else -1, np.float32)).tobytes())
        f.write(tail + piece(8, number(2, 17)))
    return os.path.getsize(path)


def main():
    folder = tempfile.mkdtemp(dir=sys.argv[2] if len(sys.argv) > 2 else None)
    try:
        model, out = os.path.join(folder, "m.onnx"), os.path.join(folder, "out", "m.onnx")
        size = write(model)
        done = subprocess.run([sys.argv[1], "run", "clean-up", model, "-o", out], capture_output=True, text=True)
        print(done.stdout + done.stderr)
        told = "2 GiB" in done.stdout and os.path.exists(out + ".data") and os.path.getsize(out) < 1 << 20
        import onnxruntime

        session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
        x = np.random.default_rng(0).standard_normal((2, WIDTH), np.float32)
        sign = (-1) ** ((LAYERS + 1) // 2)
        equal = np.array_equal(session.run(None, {"x": x})[0], np.maximum(x * np.float32(sign), 0))
        good = done.returncode == 0 and told and equal
        print(f"{size} bytes: {int(good)} passed, {int(not good)} failed")
        return not good
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    sys.exit(main())
