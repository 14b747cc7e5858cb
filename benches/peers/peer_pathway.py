"""Pathway: a static read of the file by its own JSON reader, and its built-in reducers."""

import os
import sys
import time

from contract import ORIGIN, WORKERS, correlation, report

os.environ["PATHWAY_THREADS"] = str(WORKERS)

import pathway as pw


class Reading(pw.Schema):
    timestamp: str
    distance_covered: float
    engine_speed: float
    truck_id: str


began = time.perf_counter()
origin = pw.DateTimeNaive(ORIGIN)
lines = pw.io.jsonlines.read(sys.argv[1], schema=Reading, mode="static")
t = (lines.timestamp.dt.strptime("%Y-%m-%d %H:%M:%S%.f") - origin).dt.microseconds() / 1e6
d, s = lines.distance_covered, lines.engine_speed
terms = {"t": t, "d": d, "s": s, "tt": t * t, "td": t * d, "ts": t * s, "dd": d * d, "ss": s * s}
readings = lines.select(lines.truck_id, **terms)
sums = readings.groupby(readings.truck_id).reduce(
    readings.truck_id, n=pw.reducers.count(), **{name: pw.reducers.sum(readings[name]) for name in terms}
)

answer = {}


def change(key, row, time, is_addition):
    if is_addition:
        n, t = row["n"], row["t"]
        r_distance = correlation(n, t, row["d"], row["tt"], row["td"], row["dd"])
        r_speed = correlation(n, t, row["s"], row["tt"], row["ts"], row["ss"])
        answer[row["truck_id"]] = (row["truck_id"], n, r_distance, r_speed)


pw.io.subscribe(sums, on_change=change)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
report(answer.values(), time.perf_counter() - began)
