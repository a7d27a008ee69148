"""A disk that is full at every moment of a save, out of inodes, or read-only: the old files or the new ones, and one line.

    pip install onnx
    sudo python testdata/check/full_disk.py BINARY      # needs root, to mount a small disk in memory

Saves a model, its weights beside it and a file for a compiler over older ones, with room for 0, 1, 2, … pages.
"""

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile

import onnx
from onnx import TensorProto, helper

PAGE = 4096
DISK = 1024 * PAGE
WEIGHTS, FLOATS = 8, 16 * PAGE // 4
NODES = 400
# What generate-specializations makes.
BESIDE = ("specializations.json", "compile.args")

PIPELINE = """\
version: 1
name: save
steps:
  - pass: externalize
  - pass: generate-specializations
    with: {targets: [cloud-ai], entries: [{name: P, symbols: {n: 4}}]}
"""


def model(path, fill):
    """Weights of a megabyte in all, and nodes that take a few pages."""
    weights = [
        helper.make_tensor(f"w{k}", TensorProto.FLOAT, [FLOATS], bytes([fill]) * 4 * FLOATS, raw=True) for k in range(WEIGHTS)
    ]
    nodes, last = [], "x"
    for k in range(NODES):
        nodes.append(helper.make_node("Add", [last, f"w{k % WEIGHTS}"], [f"a value of some length {fill} {k}"]))
        last = nodes[-1].output[0]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", FLOATS]) for name in ("x", last)]
    graph = helper.make_graph(nodes, "g", ends[:1], ends[1:], weights)
    onnx.save(helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)]), path)


def state(folder):
    found = {}
    for name in sorted(os.listdir(folder)):
        if not name.startswith("filler"):
            with open(os.path.join(folder, name), "rb") as f:
                found[name] = hashlib.sha256(f.read()).hexdigest()
    return found


def leave_free(folder, pages):
    """Fills the disk but for so many pages."""
    free = os.statvfs(folder).f_bavail
    with open(os.path.join(folder, "filler"), "wb") as f:
        for _ in range(max(free - pages, 0)):
            f.write(bytes(PAGE))


def leave_inodes(folder, count):
    free = os.statvfs(folder).f_favail
    for k in range(max(free - count, 0)):
        open(os.path.join(folder, f"filler{k}"), "wb").close()


def remove_fillers(folder):
    for name in os.listdir(folder):
        if name.startswith("filler"):
            os.remove(os.path.join(folder, name))


class Disk:
    def __init__(self, root):
        self.root, self.folder = root, os.path.join(root, "disk")
        os.mkdir(self.folder)
        options = f"size={DISK},nr_inodes=64,mode=755"
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", self.folder], check=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run(["umount", self.folder], check=True)

    def remount(self, how):
        subprocess.run(["mount", "-o", f"remount,{how}", self.folder], check=True)


class Check:
    def __init__(self, binary, disk):
        self.binary, self.disk = binary, disk
        self.saved, self.refused, self.failed = 0, 0, 0
        # What was last being written when there was no room: all of these must have been seen.
        self.full_at = set()

    def save(self, which):
        command = [self.binary, "run", "save.yaml", f"{which}.onnx", "-o", "disk/m.onnx"]
        return subprocess.run(command, cwd=self.disk.root, capture_output=True, text=True)

    def fresh(self):
        for name in os.listdir(self.disk.folder):
            os.remove(os.path.join(self.disk.folder, name))

    def one(self, what, old, limit, word):
        """Saves model 2, over model 1 or into an empty folder, under a limit."""
        folder = self.disk.folder
        self.fresh()
        if old:
            done = self.save(1)
            assert done.returncode == 0, done.stderr
        before = state(folder)
        limit()
        done = self.save(2)
        after = state(folder)
        one_line = done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
        names_it = any(name in done.stderr for name in ("disk/m.onnx", *BESIDE))
        if done.returncode == 0 and "m.onnx" in after and after != before:
            self.saved += 1
        elif done.returncode == 1 and after == before and one_line and names_it and word in done.stderr and "; " in done.stderr and ".onnx-pass-" not in done.stderr:
            self.refused += 1
            self.full_at |= {n for n in ("m.onnx.data", "m.onnx: ", *BESIDE) if n in done.stderr}
        else:
            self.failed += 1
            print(f"FAILED: {what}: exit code {done.returncode}: {done.stderr.strip()}: {sorted(before)} became {sorted(after)}")
            if after.keys() == before.keys():
                print("  other contents:", [n for n in after if after[n] != before[n]])

    def next_run_works(self):
        folder = self.disk.folder
        remove_fillers(folder)
        done = self.save(2)
        if done.returncode != 0 or any(name.startswith(".") for name in os.listdir(folder)):
            self.failed += 1
            print(f"FAILED: the next run: {done.stderr.strip()}: {os.listdir(folder)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary", type=os.path.abspath)
    binary = parser.parse_args().binary
    if os.geteuid() != 0:
        sys.exit("full_disk.py: mounting a disk needs root: run it with sudo")
    with tempfile.TemporaryDirectory() as root:
        for fill in (1, 2):
            model(os.path.join(root, f"{fill}.onnx"), fill)
        with open(os.path.join(root, "save.yaml"), "w") as f:
            f.write(PIPELINE)
        with Disk(root) as disk:
            check = Check(binary, disk)
            data = WEIGHTS * FLOATS * 4 // PAGE
            for old in (False, True):
                for pages in [*range(12), *range(12, data - 12, 16), *range(data - 12, data + 40)]:
                    limit = lambda: leave_free(disk.folder, pages)
                    check.one(f"{pages} pages free, {'old files' if old else 'an empty folder'}", old, limit, "No space left")
                    check.next_run_works()
                for inodes in range(12):
                    limit = lambda: leave_inodes(disk.folder, inodes)
                    check.one(f"{inodes} inodes free, {'old files' if old else 'an empty folder'}", old, limit, "No space left")
                    check.next_run_works()
                check.one("read-only", old, lambda: disk.remount("ro"), "Read-only")
                disk.remount("rw")
                check.next_run_works()
            places = sorted(check.full_at)
    print(f"{check.saved} saved, {check.refused} refused; full while writing {', '.join(places)}")
    # Without both, and all places, the limits are not where it matters.
    enough = check.saved > 0 and check.refused > 0 and len(places) == 2 + len(BESIDE)
    if not enough:
        print("FAILED: not every moment was met")
    print(f"{check.saved + check.refused} passed, {check.failed + (not enough)} failed")
    return check.failed > 0 or not enough


if __name__ == "__main__":
    sys.exit(main())
