"""The curve of docs/performance.md, from the table that `scale` prints.

    pip install matplotlib
    cargo run --release -p onnx-pass-passes --example scale | python testdata/check/curve.py docs/time-against-nodes.svg

Processor time against nodes, both in powers of ten: what is in proportion to nodes is a straight line that rises by one
power for one power. It reads the table headed `ns a node` of whatever it is given, docs/performance.md too.
"""

import sys

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt  # noqa: E402


def rows(lines):
    """The sizes, and by name the nanoseconds a node at each."""
    sizes, times = [], {}
    for line in lines:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        if cells[0] == "ns a node":
            sizes = [int(cell) for cell in cells[1:-1]]
        elif sizes and len(cells) == len(sizes) + 2 and not cells[0].startswith("-"):
            times[cells[0]] = [float(cell) for cell in cells[1:-1]]
    return sizes, times


def main():
    """Reads the table from standard input, writes the picture to where the argument says."""
    sizes, times = rows(sys.stdin)
    if not times:
        sys.exit("no table: expected what `scale` prints on standard input")
    # The same picture for the same table.
    plt.rcParams.update({"svg.hashsalt": "curve", "svg.fonttype": "none", "font.size": 9})
    figure, axes = plt.subplots(figsize=(9, 6), layout="constrained")
    last = {name: t[-1] * sizes[-1] for name, t in times.items()}
    for k, name in enumerate(sorted(times, key=last.get, reverse=True)):
        seconds = [ns * n / 1e9 for ns, n in zip(times[name], sizes)]
        axes.loglog(sizes, seconds, marker="o", markersize=3, linewidth=1, color=plt.cm.tab20(k % 20), label=name)
    axes.set(xlabel="nodes", ylabel="seconds of processor time", title="Time against nodes")
    axes.grid(which="major", linewidth=0.3)
    figure.legend(loc="outside right center", frameon=False)
    figure.savefig(sys.argv[1], metadata={"Date": None})


if __name__ == "__main__":
    main()
