"""Measures how the cost of a record grows with several quantities, and draws it.

README.md in this folder describes the series.
"""

import argparse
import fcntl
import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import truckflow
from broker import Broker
from database import temporary_mariadb
from draw import MEMORY, PER_BYTE, TIME, draw
from measure import Failed, measure
from padding import padded
from ports import free_ports

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
TRUCKS = (5, 100, 1_000, 10_000, 100_000, MILLION)
OWN_VIEWS = (1, 2, 4, 8, 16)
# What fills a message up, and the sizes in bytes; the smallest is a message of the default form, with nothing added.
PADDINGS = ("fields", "text")
SIZES = (150, 500, 2_000, 10_000)
# The input of a message size, unless that is more than a million messages, or less than 50,000.
SIZED_INPUT = 400 * MILLION
WITHOUT_ROWS = "no tables or files, 1 worker"
NO_ROWS = ("--set", "parameters.correlation_tables=latest", "--set", "csv.views=[]", "--set", "tables.views=[]")


class Growth:
    """What is measured, series by series."""

    def __init__(self, scale, runs):
        self.scale, self.runs = scale, runs

    def count(self, records):
        return max(int(records * self.scale), 10_000)

    def point(self, x, run, label=None, runs=None, **more):
        """`run` returns a `Job`. Returns the median, fastest and slowest cost of all runs, and the medians of their
        memory and of what they stored, in bytes. `more` is kept with them."""
        jobs = [run() for _ in range(runs or self.runs)]
        costs = [job.seconds / job.records * 1e9 for job in jobs]
        found = {"x": x, "label": label or f"{x:,}", "records": jobs[-1].records}
        found |= {"nanoseconds": median(costs), "min": min(costs), "max": max(costs)}
        return found | {name: median(getattr(job, name) for job in jobs) for name in ("memory", "stored")} | more

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
        lines = (
            (WITHOUT_ROWS, NO_ROWS, 1),
            ("histories, files and SQLite, 2 workers", (), 2),
        )
        paths = {trucks: truckflow.readings(records, trucks=trucks) for trucks in TRUCKS}
        seen = {trucks: trucks_in(path) for trucks, path in paths.items()}
        for title, flags, workers in lines:
            points = []
            for trucks, path in paths.items():
                # Else a slow machine has more epochs, each with all trucks' rows, and is slower for it.
                run = self.file(path, *flags, "--commit-interval", "1m", workers=workers)
                points.append(self.point(trucks, run, trucks=seen[trucks]))
            yield title, points

    def views(self):
        path = truckflow.readings(self.count(MILLION // 2))
        label = lambda n: VIEWS[0] if n == 1 else f"+ {VIEWS[n - 1]}"
        counts = range(1, len(VIEWS) + 1)
        yield "views", [self.point(n, self.file(path, views=VIEWS[:n]), label(n)) for n in counts]

    def own_views(self):
        path = truckflow.readings(self.count(MILLION))
        for title, query in (("filters", filtering), ("aggregates", aggregating)):
            points = []
            for count in OWN_VIEWS:
                sql = truckflow.SCRATCH / f"{title}-{count}.sql"
                sql.write_text("".join(query(number) for number in range(count)))
                points.append(self.point(count, self.file(path, "--sql", str(sql), views=())))
            yield title, points

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

    def connections(self):
        # More would not be accepted with the default of `limits.epochs_in_flight`.
        counts = (1, 2, 3)
        path = truckflow.readings(self.count(2 * MILLION))
        flags = ("--set", "csv.views=[]", "--set", f"limits.epochs_in_flight={max(counts) + 1}")
        with temporary_mariadb() as database:
            points = []
            for count in counts:
                run = self.table(database, path, "--set", f"tables.connections={count}", *flags)
                if not points:
                    run()  # The server is slow until it is warm.
                points.append(self.point(count, run))
            yield "TRUCK_PARAMETER_MAP on MariaDB", points

    def table(self, database, path, *flags):
        """A run from a file into one table of an empty database."""

        def run():
            url = database.empty("job")
            return finished(truckflow.run("--input", str(path), "--database", url, *flags, views=("parameter_map",)))

        return run

    def message_size(self):
        for padding in PADDINGS:
            points = []
            for size in SIZES:
                records = self.count(min(max(SIZED_INPUT // size, MILLION // 20), MILLION))
                path = truckflow.readings(records)
                if size > SIZES[0]:
                    path = padded(path, padding, size)
                per_message = path.stat().st_size / records
                points.append(self.point(size, self.file(path), bytes=per_message))
            yield f"filled up by {padding}", points

    def topic(self, broker, partitions):
        """The flags of a job on a new topic with readings of 100 trucks."""
        name = f"readings-{partitions}"
        broker.create_topic(name, partitions)
        flags = ["--brokers", broker.address, "--topic", name]
        size = ["--trucks", "100", "--records", str(self.count(MILLION)), "--seed", "9"]
        measure([truckflow.binary(), "simulate", *size, "--to", "topic", *flags])
        return flags


def filtering(number):
    """A view of about a tenth of the readings: the simulator's speeds are Normal(80, 1)."""
    columns = "timestamp, truck_id, engine_speed, distance_covered"
    where = f"engine_speed > {81.2 + number / 100:.2f}"
    return f"CREATE MATERIALIZED VIEW filter_{number} AS SELECT {columns} FROM readings WHERE {where};\n"


def aggregating(number):
    """A view with a row per truck, each over other readings."""
    values = "COUNT(*) AS n, SUM(distance_covered) AS distance, AVG(engine_speed) AS speed, MAX(fuel_consumed) AS most"
    rest = f"FROM readings WHERE engine_speed > {78 + number / 100:.2f} GROUP BY truck_id"
    return f"CREATE MATERIALIZED VIEW aggregate_{number} AS SELECT truck_id, {values} {rest};\n"


def trucks_in(path):
    """The number of trucks that a file has readings of."""
    with open(path) as readings:
        return len({reading.rsplit('"', 2)[1] for reading in readings})


@dataclass
class Job:
    """What a point is made of: seconds, and bytes of memory and in the job's folder."""

    records: int
    seconds: float
    memory: int
    stored: int = 0


def finished(run):
    return Job(run.records, run.seconds, run.measured.peak_memory, run.stored)


def cluster(flags, processes, workers):
    """A job of several processes: records and memory of all, and the seconds of process 0, which commits."""
    with truckflow.out_folder() as out:
        if processes > 1:
            hosts = Path(out) / "hosts"
            hosts.write_text("".join(f"127.0.0.1:{port}\n" for port in free_ports(processes)))
            flags = [*flags, "--processes", str(processes), "--hosts", str(hosts)]
        place = lambda n: ["--process", str(n)] if processes > 1 else []
        command = lambda n: truckflow.job(Path(out) / "out", *flags, *place(n), workers=workers)
        with ThreadPoolExecutor(processes) as pool:
            measured = list(pool.map(lambda n: measure(command(n)), range(processes)))
        done = [truckflow.done(each) for each in measured]
        return Job(sum(records for records, _ in done), done[0][1], sum(each.peak_memory for each in measured))


SERIES = {
    # What grows, whether it is drawn on a logarithmic axis, and what is drawn over it.
    "records": ("records read, 5 trucks", True, [TIME]),
    "trucks": ("trucks", True, [TIME, MEMORY]),
    "views": ("views kept, with those before", False, [TIME]),
    "own_views": ("views in one SQL file", True, [TIME]),
    "message_size": ("bytes a message", True, [TIME, PER_BYTE]),
    "workers": ("worker threads", False, [TIME]),
    "partitions": ("Kafka partitions, 2 workers", True, [TIME]),
    "processes": ("processes x workers, 4 Kafka partitions", False, [TIME]),
    "connections": ("connections to MariaDB, 2 workers", False, [TIME]),
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
    found["series"], began = {}, time.monotonic()
    for name in only:
        print(f"{name}, after {time.monotonic() - began:.0f} s:", file=sys.stderr)
        axis, logarithmic, drawn = SERIES[name]
        series = found["series"][name] = {"axis": axis, "logarithmic": logarithmic, "drawn": drawn, "lines": {}}
        try:
            for title, points in getattr(growth, name)():
                series["lines"][title] = points
                print(f"    {title}: {summary(points)}", file=sys.stderr, flush=True)
        except Failed as failure:
            series["failure"] = str(failure)
            print(f"    not measured: {failure}", file=sys.stderr)
    arguments.to.mkdir(parents=True, exist_ok=True)
    (arguments.to / "growth.json").write_text(json.dumps(found, indent=1) + "\n")
    (arguments.to / "growth.md").write_text(table(found))
    draw(found, arguments.to / "growth.svg")
    print(f"growth: done after {time.monotonic() - began:.0f} s", file=sys.stderr)
    return 1 if any("failure" in series for series in found["series"].values()) else 0


def summary(points):
    """One line for the terminal."""
    return ", ".join(f"{point['label']}: {point['nanoseconds']:,.0f}" for point in points) + " ns a record"


def table(found):
    """All points, in Markdown."""
    how = f"{found['cpus']} cores, load {found['load_at_start']:.1f} at the start; median of {found['runs']} runs"
    lines = ["# How the cost of a record grows", "", "![](growth.svg)", ""]
    lines += ["Generated by `benches/growth/run`. [benches/growth](../benches/growth/README.md) describes the series."]
    lines += [f"{how}, fastest and slowest in parentheses."]
    for name, series in found["series"].items():
        columns = ["ns a record", "records/s", "records", "peak memory"]
        columns += ["bytes a message", "ns a byte"] if name == "message_size" else []
        columns += ["trucks seen", "stored a truck"] if name == "trucks" else []
        if not series["lines"]:
            lines += ["", f"{name.replace('_', ' ')}: not measured, because {series['failure']}."]
            continue
        lines += ["", f"| {name.replace('_', ' ')} | | {' | '.join(columns)} |", "|---" * (2 + len(columns)) + "|"]
        for title, points in series["lines"].items():
            for point in points:
                cells = [f"{point['nanoseconds']:,.0f} ({point['min']:,.0f} to {point['max']:,.0f})"]
                cells += [f"{1e9 / point['nanoseconds']:,.0f}", f"{point['records']:,}"]
                cells.append(f"{point['memory'] / 2**20:,.0f} MiB")
                if name == "message_size":
                    cells += [f"{point['bytes']:,.0f}", f"{point['nanoseconds'] / point['bytes']:.2f}"]
                if name == "trucks":
                    cells += [f"{point['trucks']:,}", f"{point['stored'] / point['trucks']:,.0f} B"]
                lines.append(f"| {point['label']} | {title} | {' | '.join(cells)} |")
        if "failure" in series:
            lines += ["", f"Not measured: {series['failure']}"]
    return "\n".join(lines + estimate(found["series"])) + "\n"


def estimate(series):
    """What these figures say about many more trucks (docs/performance.md), in Markdown; nothing without them."""
    points = series.get("trucks", {}).get("lines", {}).get(WITHOUT_ROWS)
    if not points:
        return []
    few, many = points[0], points[-1]
    cost = many["nanoseconds"] / 1e3
    memory = (many["memory"] - few["memory"]) / many["trucks"]
    state = many["stored"] / many["trucks"]
    rows = [
        ("time of a record, one worker, each of another truck", f"{cost:.1f} µs", f"{cost:.1f} cores"),
        ("memory of a truck, beyond that with few trucks", f"{memory:,.0f} B", f"{memory / 10:,.0f} GB"),
        ("state of a truck", f"{state:,.0f} B", f"{state / 10:,.0f} GB, and {state:,.0f} MB/s of changes"),
    ]
    tables = [point for line in series.get("connections", {}).get("lines", {}).values() for point in line]
    if tables:
        rate = 1e9 / min(point["nanoseconds"] for point in tables)
        rows.append(("rows that one MariaDB takes", f"{rate:,.0f} rows/s", f"{2e6 / rate:.1f} servers for 2 M rows/s"))
    lines = ["", "## 1 M records/s of 100 M trucks", ""]
    lines += ["The figures of the estimate in [performance.md](performance.md#how-the-cost-grows), both correlations:"]
    lines += ["", f"| figure | with {many['label']} trucks | 1 M records/s of 100 M trucks |", "|---|---|---|"]
    return lines + [f"| {' | '.join(row)} |" for row in rows]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"growth: {failure}")
