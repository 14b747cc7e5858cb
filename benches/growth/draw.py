"""Draws the measurements of growth.py: a chart for each series and quantity, such as nanoseconds per record over the
number of trucks.

    draw.py growth.json growth.svg       draws it again
"""

import json
import sys
from math import ceil, floor, log10
from pathlib import Path

import matplotlib

matplotlib.use("svg")
import matplotlib.pyplot as plt
from matplotlib.ticker import FuncFormatter, NullFormatter, NullLocator

COLOURS = ("#1f5fa8", "#c2571a")
COLUMNS = 3
# What is drawn over the growing quantity.
TIME, MEMORY, PER_BYTE = "ns per record", "peak memory, MiB", "ns per byte"
VALUES = {
    TIME: lambda point: [point[key] for key in ("min", "nanoseconds", "max")],
    MEMORY: lambda point: [point["memory"] / 2**20] * 3,
    PER_BYTE: lambda point: [point[key] / point["bytes"] for key in ("min", "nanoseconds", "max")],
}


def draw(found, path):
    """Writes the picture to `path`."""
    plt.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans", "svg.hashsalt": "growth"})
    charts = [(name, series, drawn) for name, series in found["series"].items() for drawn in series["drawn"]]
    rows = -(-len(charts) // COLUMNS)
    figure, axes = plt.subplots(rows, COLUMNS, figsize=(11, 3.4 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat[len(charts) :]:
        axis.remove()
    for axis, chart in zip(axes.flat, charts):
        panel(axis, *chart)
    figure.suptitle("truckflow: how the cost of a record grows", fontsize=12)
    # Without a date, so that the same figures result in the same bytes.
    figure.savefig(path, metadata={"Date": None})


def panel(axis, name, series, drawn):
    more = "" if drawn == TIME else f": {drawn.split(',')[0]}"
    lines = len(series["lines"])
    # Between the title and the chart there is room for the legend, which would cover lines inside.
    axis.set_title(name.replace("_", " ") + more, loc="left", fontweight="bold", pad=4 + 13 * lines * (lines > 1))
    axis.set_ylabel(drawn)
    plain = FuncFormatter(lambda y, _: f"{y:,g}")
    axis.yaxis.set_major_formatter(plain)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    points = [point for line in series["lines"].values() for point in line]
    sizes = {point["records"] for point in points}
    axis.set_xlabel(series["axis"] + "".join(f";\n{size:,} records" for size in sizes if len(sizes) == 1))
    if not points:
        axis.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axis.transAxes)
        axis.set_xticks([])
        axis.set_yticks([])
        return
    if series["logarithmic"]:
        axis.set_xscale("log")
    value = VALUES[drawn]
    for colour, (title, line) in zip(COLOURS, series["lines"].items()):
        x, y = [point["x"] for point in line], [value(point)[1] for point in line]
        spread = [[at - value(point)[0] for at, point in zip(y, line)], [value(point)[2] - at for at, point in zip(y, line)]]
        style = {"fmt": "o", "linestyle": "-" if name != "processes" else "none", "markersize": 4, "capsize": 2}
        axis.errorbar(x, y, yerr=spread, color=colour, label=title, linewidth=1.3, **style)
    ticks(axis, points)
    least, largest = min(value(point)[0] for point in points), max(value(point)[2] for point in points)
    if largest > 20 * least:
        axis.set_yscale("log")
        # Whole decades, so that there are labels.
        axis.set_ylim(10 ** floor(log10(least)), 10 ** ceil(log10(largest)))
        axis.yaxis.set_major_formatter(plain)
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(0, largest * 1.1)
    if lines > 1:
        place = {"loc": "lower left", "bbox_to_anchor": (-0.02, 0.99), "borderaxespad": 0}
        axis.legend(frameon=False, fontsize=8, labelspacing=0.2, handlelength=1.5, **place)


def ticks(axis, points):
    """A tick for each point, with its name; names that are long stand aslant."""
    labels = {point["x"]: short(point) for point in points}
    aslant = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
    long = any(len(label) > 8 for label in labels.values())
    axis.set_xticks(list(labels), list(labels.values()), **(aslant if long else {}))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.margins(x=0.1)


def short(point):
    """A number as one says it: 10k, 3M."""
    if not point["label"].replace(",", "").isdigit():
        return point["label"]
    x = point["x"]
    for unit, letter in ((1_000_000, "M"), (1000, "k")):
        if x >= unit:
            return f"{x / unit:g}{letter}"
    return str(x)


if __name__ == "__main__":
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
