#!/usr/bin/env python3
"""Views in SQL compared with the same queries in DuckDB: whole processes over one file, two threads each.

    benches/peers/sql_duckdb.py [TRUCKFLOW] [RECORDS]

Needs `duckdb` for Python. Prints the median of five alternating runs, and the ratio. Both write a CSV file; truckflow commits its state,
too, and its file has a line at each epoch that changed a group.
"""

import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TRUCKFLOW = sys.argv[1] if len(sys.argv) > 1 else "target/release/truckflow"
RECORDS = int(sys.argv[2]) if len(sys.argv) > 2 else 2_000_000
RUNS = 5

# The query of truckflow, and the same for DuckDB over the relation R.
QUERIES = {
    "filter and projection": (
        "SELECT timestamp, truck_id, engine_speed * 1.2 AS scaled FROM readings WHERE engine_speed > 80",
        "SELECT timestamp, truck_id, engine_speed * 1.2 AS scaled FROM R WHERE engine_speed > 80",
    ),
    "GROUP BY truck, five aggregates": (
        "SELECT truck_id, COUNT(*) AS n, SUM(distance_covered) AS d, AVG(engine_speed) AS a, MIN(fuel_consumed) AS lo, "
        "MAX(fuel_consumed) AS hi FROM readings GROUP BY truck_id",
        "SELECT truck_id, COUNT(*) AS n, SUM(distance_covered) AS d, AVG(engine_speed) AS a, MIN(fuel_consumed) AS lo, "
        "MAX(fuel_consumed) AS hi FROM R GROUP BY truck_id",
    ),
    "TUMBLE of 5 minutes, AVG and CORR": (
        "SELECT truck_id, window_start, AVG(engine_speed) AS a, CORR(engine_speed, distance_covered) AS c "
        "FROM TUMBLE(readings, timestamp, INTERVAL '5 minutes') GROUP BY truck_id, window_start, window_end",
        "SELECT truck_id, time_bucket(INTERVAL '5 minutes', timestamp) AS w, AVG(engine_speed) AS a, "
        "CORR(engine_speed, distance_covered) AS c FROM R GROUP BY ALL",
    ),
    "HOP of 30 minutes every minute, COUNT and CORR": (
        "SELECT truck_id, window_start, COUNT(*) AS n, CORR(engine_speed, distance_covered) AS c "
        "FROM HOP(readings, timestamp, INTERVAL '1 minute', INTERVAL '30 minutes') GROUP BY truck_id, window_start, window_end",
        "SELECT truck_id, time_bucket(INTERVAL '1 minute', timestamp) - k * INTERVAL '1 minute' AS w, COUNT(*) AS n, "
        "CORR(engine_speed, distance_covered) AS c FROM R, range(30) AS t(k) GROUP BY ALL",
    ),
}
COLUMNS = "timestamp: 'TIMESTAMP', distance_covered: 'DOUBLE', engine_speed: 'DOUBLE', fuel_consumed: 'DOUBLE', truck_id: 'VARCHAR'"


def write_input(path):
    numbers = random.Random(1)
    with open(path, "w") as file:
        for n in range(RECORDS):
            t = n // 5
            time_text = f"2023-04-{10 + t // 86400:02} {t // 3600 % 24:02}:{t // 60 % 60:02}:{t % 60:02}.000000"
            file.write(
                f'{{"timestamp": "{time_text}", "distance_covered": {numbers.random() * 5:.2f}, '
                f'"engine_speed": {75 + numbers.random() * 10:.2f}, "fuel_consumed": {numbers.random() / 10:.2f}, '
                f'"truck_id": "truck-{n % 5}"}}\n'
            )


def timed(command):
    start = time.monotonic()
    subprocess.run(command, check=True, capture_output=True)
    return time.monotonic() - start


def main():
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source, sql, out, other = (folder / name for name in ("input.jsonl", "views.sql", "out", "duckdb.csv"))
        write_input(source)
        print("| query | truckflow s | DuckDB s | ratio |\n|---|---|---|---|")
        for name, (ours, theirs) in QUERIES.items():
            sql.write_text(f"CREATE MATERIALIZED VIEW v WITH (table = false) AS {ours}")
            relation = f"read_json('{source}', format = 'newline_delimited', columns = {{{COLUMNS}}}) AS R"
            theirs = theirs.replace("FROM R", f"FROM {relation}")
            code = f'import duckdb; c = duckdb.connect(); c.execute("SET threads = 2"); c.execute("""COPY ({theirs}) TO \'{other}\'""")'
            own, peer = [], []
            for _ in range(RUNS):
                shutil.rmtree(out, ignore_errors=True)
                run = [TRUCKFLOW, "run", "--sql", sql, "--input", source, "--until-end", "--workers", "2", "--out", out]
                own.append(timed([*run, "--listen", "off"]))
                peer.append(timed([sys.executable, "-c", code]))
            a, b = statistics.median(own), statistics.median(peer)
            print(f"| {name} | {a:.2f} | {b:.2f} | {b / a:.1f}x |", flush=True)


if __name__ == "__main__":
    main()
