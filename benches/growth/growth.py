"""Measures how the cost of a record grows with several quantities, and draws it.

README.md in this folder describes the series.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import truckflow
from broker import Broker, free_ports
from draw import draw
from measure import Failed, measure

MILLION = 1_000_000
# From the cheapest to the dearest; the series of views takes the first of them, the first two, …
VIEWS = (
    *truckflow.CORRELATIONS,
    "window_averages",
    "above_speed",
    "parameter_map",
    "transformed",
    "derived_metrics",
    "filtered_join",
)
# The same file so many times over is the longest stream.
REPEATS = 10


class Growth:
    """What is measured, series by series."""

    def __init__(self, scale, runs):
        self.scale, self.runs = scale, runs

    def count(self, records):
        return max(int(records * self.scale), 10_000)

    def point(self, x, run, label=None, runs=None):
        """`run` returns records and seconds. Returns the median, fastest and slowest of all runs."""
        costs = []
        for _ in range(runs or self.runs):
            records, seconds = run()
            costs.append(seconds / records * 1e9)
        found = {"x": x, "label": label or f"{x:,}", "records": records}
        found |= {"nanoseconds": median(costs), "min": min(costs), "max": max(costs)}
        print(f"    {found['label']}: {found['nanoseconds']:,.0f} ns a record", file=sys.stderr, flush=True)
        return found

    def file(self, path, *flags, **options):
        """A run from a file."""
        return lambda: finished(truckflow.run("--input", str(path), *flags, **options))

    def records(self):
        sizes = [self.count(MILLION), self.count(3 * MILLION), self.count(10 * MILLION)]
        paths = [truckflow.readings(size) for size in sizes]
        yield "a file", [self.point(size, self.file(path)) for size, path in zip(sizes, paths)]
        once = self.point(sizes[-1], lambda: self.stream(paths[-1], 1))
        longest = self.point(sizes[-1] * REPEATS, lambda: self.stream(paths[-1], REPEATS), runs=1)
        yield "standard input", [once, longest]

    def stream(self, path, repeats):
        """A run over the same file again and again, as one stream."""
        cat = subprocess.Popen(["cat", *[str(path)] * repeats], stdout=subprocess.PIPE)
        # The largest pipe without privileges, for fewer context switches.
        fcntl.fcntl(cat.stdout, fcntl.F_SETPIPE_SZ, 1 << 20)
        try:
            return finished(truckflow.run("--input", "-", stdin=cat.stdout))
        finally:
            cat.stdout.close()
            cat.kill()
            cat.wait()

    def trucks(self):
        records = self.count(2 * MILLION)
        points = []
        for trucks in (1, 100, 10_000, 100_000, MILLION):
            path = truckflow.readings(records, trucks=trucks)
            # Else a slow machine has more epochs, each with all trucks' rows, and is slower for it.
            points.append(self.point(trucks, self.file(path, "--commit-interval", "1m")))
        yield "both correlations", points

    def views(self):
        path = truckflow.readings(self.count(MILLION // 2))
        label = lambda n: VIEWS[0] if n == 1 else f"+ {VIEWS[n - 1]}"
        counts = range(1, len(VIEWS) + 1)
        yield "views", [self.point(n, self.file(path, views=VIEWS[:n]), label(n)) for n in counts]

    def workers(self):
        for title, views, records in (("both correlations", VIEWS[:2], 10 * MILLION), ("all views", VIEWS, MILLION // 2)):
            path = truckflow.readings(self.count(records))
            yield title, [self.point(n, self.file(path, views=views, workers=n)) for n in (1, 2)]

    def partitions(self):
        with Broker() as broker:
            points = []
            for partitions in (1, 4, 16, 64):
                flags = self.topic(broker, partitions)
                points.append(self.point(partitions, lambda: finished(truckflow.run(*flags))))
            yield "both correlations", points

    def processes(self):
        if "--processes" not in measure([truckflow.binary(), "run", "--help"]).stdout:
            raise Failed("this binary has no --processes")
        with Broker() as broker:
            flags = self.topic(broker, 4)
            points = []
            for x, (processes, workers) in enumerate(((1, 1), (1, 2), (2, 1))):
                run = lambda: cluster(flags, processes, workers)
                points.append(self.point(x, run, f"{processes} x {workers}"))
            yield "both correlations", points

    def topic(self, broker, partitions):
        """The flags of a job on a new topic with readings of 100 trucks."""
        name = f"readings-{partitions}"
        broker.create_topic(name, partitions)
        flags = ["--brokers", broker.address, "--topic", name]
        size = ["--trucks", "100", "--records", str(self.count(MILLION)), "--seed", "9"]
        measure([truckflow.binary(), "simulate", *size, "--to", "topic", *flags])
        return flags


def finished(run):
    """What a point is made of."""
    return run.records, run.seconds


def cluster(flags, processes, workers):
    """A run of several processes: the records of all, and the seconds of process 0, which commits."""
    with truckflow.out_folder() as out:
        if processes > 1:
            hosts = Path(out) / "hosts"
            hosts.write_text("".join(f"127.0.0.1:{port}\n" for port in free_ports(processes)))
            flags = [*flags, "--processes", str(processes), "--hosts", str(hosts)]
        place = lambda n: ["--process", str(n)] if processes > 1 else []
        command = lambda n: truckflow.job(Path(out) / "out", *flags, *place(n), workers=workers)
        with ThreadPoolExecutor(processes) as pool:
            done = [truckflow.done(each) for each in pool.map(lambda n: measure(command(n)), range(processes))]
        return sum(records for records, _ in done), done[0][1]


SERIES = {
    # What grows, and whether it is drawn on a logarithmic axis.
    "records": ("records read, 5 trucks", True),
    "trucks": ("trucks", True),
    "views": ("views kept, with those before", False),
    "workers": ("worker threads", False),
    "partitions": ("Kafka partitions, 2 workers", True),
    "processes": ("processes x workers, 4 Kafka partitions", False),
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help=f"series, separated by commas: {','.join(SERIES)}")
    parser.add_argument("--runs", type=int, default=3, help="runs of each point, except the longest stream; default 3")
    parser.add_argument("--scale", type=float, default=1, help="factor on the numbers of records; 0.1 for a trial")
    parser.add_argument("--to", type=Path, default=truckflow.REPOSITORY / "docs", help="folder; default docs")
    arguments = parser.parse_args()
    only = list(filter(None, arguments.only.split(","))) or list(SERIES)
    if unknown := set(only) - set(SERIES):
        parser.error(f"--only: unknown series {', '.join(unknown)}; expected one of {', '.join(SERIES)}")

    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"growth: the machine is busy (load {load:.1f}): the figures are only approximate", file=sys.stderr)
    growth = Growth(arguments.scale, arguments.runs)
    found = {"load_at_start": load, "cpus": os.cpu_count(), "scale": arguments.scale, "runs": arguments.runs}
    found["series"] = {}
    for name in only:
        print(f"{name}:", file=sys.stderr)
        axis, logarithmic = SERIES[name]
        series = found["series"][name] = {"axis": axis, "logarithmic": logarithmic, "lines": {}}
        try:
            for title, points in getattr(growth, name)():
                series["lines"][title] = points
        except Failed as failure:
            series["failure"] = str(failure)
            print(f"    not measured: {failure}", file=sys.stderr)
    arguments.to.mkdir(parents=True, exist_ok=True)
    (arguments.to / "growth.json").write_text(json.dumps(found, indent=1) + "\n")
    (arguments.to / "growth.md").write_text(table(found))
    draw(found, arguments.to / "growth.svg")
    return 1 if any("failure" in series for series in found["series"].values()) else 0


def table(found):
    """All points, in Markdown."""
    how = f"{found['cpus']} cores, load {found['load_at_start']:.1f} at the start; median of {found['runs']} runs"
    lines = ["# How the cost of a record grows", "", "![](growth.svg)", ""]
    lines += ["Generated by `benches/growth/run`. [benches/growth](../benches/growth/README.md) describes the series."]
    lines += [f"{how}, fastest and slowest in parentheses."]
    for name, series in found["series"].items():
        lines += ["", f"| {name} | | ns a record | records/s | records |", "|---|---|---|---|---|"]
        for title, points in series["lines"].items():
            for point in points:
                cost = f"{point['nanoseconds']:,.0f} ({point['min']:,.0f} to {point['max']:,.0f})"
                rate = f"{1e9 / point['nanoseconds']:,.0f}"
                lines.append(f"| {point['label']} | {title} | {cost} | {rate} | {point['records']:,} |")
        if "failure" in series:
            lines += ["", f"Not measured: {series['failure']}"]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"growth: {failure}")
