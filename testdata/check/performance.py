"""The tables of docs/performance.md: this program and its peers side by side, as ratios.

    cargo build --release -p onnx-pass
    pip install onnx onnx_ir onnxslim onnxsim
    python testdata/check/performance.py target/release/onnx-pass --inline A.onnx --external B.onnx \\
        --graph C.onnx --decoder D.onnx [--peers PYTHON] [--rounds 5] [--limit 180]

Each kind is one model: with its weights inside, with its weights beside it, all graph and few weights, a decoder
with a growing cache. Any will do; a kind that is left out has no table. The commands of a table take turns, and
each figure is the median over the rounds of the ratio to the first command of the same round. `cp` runs twice: a
table whose two differ by more than 10 % is measured again, at most five times, and then marked. A command that takes
longer than ten seconds runs in the first round alone.
"""

import argparse
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

PEERS = {
    "onnx: load and save": "import onnx,sys; onnx.save(onnx.load(I), O{data})",
    "onnx_ir: load and save": "import onnx_ir,sys; onnx_ir.save(onnx_ir.load(I), O{data_ir})",
    "onnxslim": "import onnxslim,onnx; onnxslim.slim(I, O{slim})",
    "onnxsim": "import onnx,onnxsim; onnx.save(onnxsim.simplify(onnx.load(I))[0], O{data})",
}
# What a user does who wants no cache: its inputs declared without a row, its outputs not asked for.
NO_CACHE = """import onnx, onnxslim
m = onnx.load(I)
dims = {i.name: [d.dim_param or d.dim_value for d in i.type.tensor_type.shape.dim] for i in m.graph.input}
shapes = [n + ':' + ','.join('0' if x == 'past' else str(x) if isinstance(x, int) else '1' for x in d)
          for n, d in dims.items() if 'past' in d]
onnx.save(onnxslim.slim(m, input_shapes=shapes, outputs=['logits']), O)"""
DATA = {"data": ", save_as_external_data=True", "data_ir": ", external_data='o.data'", "slim": ", save_as_external_data=True"}


LONG = 10


def run(command, limit):
    """Wall and processor seconds, peak resident and anonymous MiB; None when it failed or took too long."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    anonymous, done = [0], threading.Event()

    def sample():
        while not done.wait(0.004):
            try:
                with open(f"/proc/{process.pid}/status") as status:
                    for line in status:
                        if line.startswith("RssAnon"):
                            anonymous[0] = max(anonymous[0], int(line.split()[1]) / 1024)
            except OSError:
                return

    sampler = threading.Thread(target=sample)
    sampler.start()
    timer = threading.Timer(limit, lambda: os.killpg(process.pid, signal.SIGKILL))
    timer.start()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.monotonic() - start
    timer.cancel()
    done.set()
    sampler.join()
    process.returncode = status
    return None if status else (wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, anonymous[0])


def measure(commands, rounds, limit, folder):
    """For each command the runs of it, by its name."""
    runs, dead = {name: [] for name, _ in commands}, set()

    def fresh(command):
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        # What the last one wrote is not on this one's account.
        os.sync()
        return run(command, limit)

    # The first to read a model finds it on the disk, the others in memory.
    fresh(commands[0][1])
    for turn in range(rounds):
        # In another order each time: the memory that a command finds is what the one before it has left.
        for name, command in random.Random(turn).sample(commands, len(commands)):
            if name in dead or runs[name] and runs[name][-1][0] > LONG:
                continue
            result = fresh(command)
            if result is None:
                dead.add(name)
                runs[name] = None
            else:
                runs[name].append(result)
            print(name, result, file=sys.stderr)
    return runs


def ratio(runs, base, which):
    return statistics.median(a[which] / max(b[which], 1e-3) for a, b in zip(runs, base))


def table(title, columns, commands, args, folder, size):
    twins = None
    for _ in range(5):
        runs = measure(commands, args.rounds, args.limit, folder)
        base = runs[commands[0][0]]
        if commands[1][0] != "cp again":
            break
        twins = ratio(runs["cp again"], base, 0)
        if 0.9 <= twins <= 1.1:
            break
    note = "" if twins is None or 0.9 <= twins <= 1.1 else f" (unquiet: the second cp took {twins:.2f})"
    print(f"\n{title}{note}\n\n| | {' | '.join(columns)} |\n|---|{'---:|' * len(columns)}")
    for name, _ in commands:
        if runs[name] is None:
            print(f"| {name} |" + f" failed, or over {args.limit} s |" + " |" * (len(columns) - 1))
            continue
        cells = []
        for column in columns:
            if column.startswith("wall"):
                cells.append(f"{ratio(runs[name], base, 0):.2f}")
            elif column.startswith("processor"):
                cells.append(f"{ratio(runs[name], base, 1):.2f}")
            elif column.startswith("peak"):
                cells.append(f"{statistics.median(r[2] for r in runs[name]) * 2**20 / size:.2f}")
            else:
                cells.append(f"{statistics.median(r[3] for r in runs[name]):.0f}")
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    for kind in ("inline", "external", "graph", "decoder"):
        parser.add_argument("--" + kind)
    parser.add_argument("--python", default=sys.executable, help="has onnx and onnx_ir")
    parser.add_argument("--peers", default=sys.executable, help="has onnxslim and onnxsim")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=180)
    parser.add_argument("--scratch", default=None, help="a folder on the models' disk")
    args = parser.parse_args()
    scratch = tempfile.mkdtemp(dir=args.scratch)
    folder = os.path.join(scratch, "out")
    empty = os.path.join(scratch, "empty.yaml")
    with open(empty, "w") as f:
        f.write("version: 1\nname: empty\nsteps: []\n")
    out = os.path.join(folder, "o.onnx")
    binary = os.path.abspath(args.binary)
    ours = lambda pipeline, model, *more: [binary, "run", pipeline, model, "-o", out, *more]

    def peers(model, external=False):
        pythons = {"onnx: load and save": args.python, "onnx_ir: load and save": args.python}
        for name, code in PEERS.items():
            code = code.format(**(DATA if external else dict.fromkeys(DATA, "")))
            yield name, [pythons.get(name, args.peers), "-c", f"I,O={model!r},{out!r}\n{code}"]

    try:
        if args.inline:
            cp = ["cp", args.inline, out]
            commands = [("cp", cp), ("cp again", cp), ("empty pipeline", ours(empty, args.inline)),
                        ("`clean-up`", ours("clean-up", args.inline)), *peers(args.inline)]
            table("Weights inside the model, to `cp`:", ["wall time", "anonymous MiB"], commands, args, folder,
                  os.path.getsize(args.inline))
        if args.external:
            data = [os.path.join(os.path.dirname(args.external), f) for f in os.listdir(os.path.dirname(args.external) or ".")
                    if f.startswith(os.path.basename(args.external))]
            beside = os.path.join(os.path.dirname(os.path.abspath(args.external)), f"o-{os.getpid()}.onnx")
            cp = ["cp", *data, folder]
            commands = [("cp", cp), ("cp again", cp),
                        ("`clean-up`, weights referenced", [binary, "run", "clean-up", args.external, "-o", beside]),
                        ("`clean-up`, weights copied", ours("clean-up", args.external, "--weights", "copy")),
                        *peers(args.external, True)]
            table("Weights beside the model, to `cp` of both files:", ["wall time", "anonymous MiB"], commands, args, folder,
                  sum(map(os.path.getsize, data)))
            os.remove(beside)
        for kind, model, pipeline in (("All graph", args.graph, "clean-up"), ("A decoder with a cache", args.decoder, "single-shot")):
            if not model:
                continue
            commands = [*peers(model), ("empty pipeline", ours(empty, model)), (f"`{pipeline}`", ours(pipeline, model))]
            if pipeline == "single-shot":
                slim = [args.peers, "-c", f"I,O={model!r},{out!r}\n{NO_CACHE}"]
                commands.insert(-2, ("onnxslim, the cache without a row", slim))
            table(f"{kind}, to Python's `onnx.load` and `onnx.save`:", ["processor time", "peak memory to the file"],
                  commands, args, folder, os.path.getsize(model))
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
