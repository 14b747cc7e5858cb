"""Draws the measurements of growth.py: a chart for each series, nanoseconds per record over the growing quantity.

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


def draw(found, path):
    """Writes the picture to `path`."""
    plt.rcParams.update({"font.size": 9, "font.family": "DejaVu Sans", "svg.hashsalt": "growth"})
    columns = 3
    rows = -(-len(found["series"]) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(11, 3.4 * rows), layout="constrained", squeeze=False)
    for axis in axes.flat[len(found["series"]):]:
        axis.remove()
    for axis, (name, series) in zip(axes.flat, found["series"].items()):
        panel(axis, name, series)
    figure.suptitle("truckflow: how the cost of a record grows", fontsize=12)
    # Without a date, so that the same figures result in the same bytes.
    figure.savefig(path, metadata={"Date": None})


def panel(axis, name, series):
    axis.set_title(name, loc="left", fontweight="bold")
    axis.set_ylabel("ns per record")
    plain = FuncFormatter(lambda y, _: f"{y:,.0f}")
    axis.yaxis.set_major_formatter(plain)
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    axis.grid(axis="y", color="#dddddd", linewidth=0.6)
    points = [point for line in series["lines"].values() for point in line]
    sizes = {point["records"] for point in points}
    axis.set_xlabel(series["axis"] + "".join(f";\n{size:,} records" for size in sizes if len(sizes) == 1))
    if not points:
        axis.text(0.5, 0.5, "not measured", ha="center", va="center", transform=axis.transAxes)
        return
    if series["logarithmic"]:
        axis.set_xscale("log")
    for colour, (title, line) in zip(COLOURS, series["lines"].items()):
        x, y = [point["x"] for point in line], [point["nanoseconds"] for point in line]
        below, above = [point["min"] for point in line], [point["max"] for point in line]
        spread = [[at - least for at, least in zip(y, below)], [most - at for at, most in zip(y, above)]]
        style = {"fmt": "o", "linestyle": "-" if name != "processes" else "none", "markersize": 4, "capsize": 2}
        axis.errorbar(x, y, yerr=spread, color=colour, label=title, linewidth=1.3, **style)
    ticks(axis, points)
    least, largest = min(point["min"] for point in points), max(point["max"] for point in points)
    if largest > 20 * least:
        axis.set_yscale("log")
        # Whole decades, so that there are labels.
        axis.set_ylim(10 ** floor(log10(least)), 10 ** ceil(log10(largest)))
        axis.yaxis.set_major_formatter(plain)
        axis.yaxis.set_minor_formatter(NullFormatter())
    else:
        axis.set_ylim(0, largest * 1.1)
    if len(series["lines"]) > 1:
        axis.legend(frameon=False)


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
