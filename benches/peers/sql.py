#!/usr/bin/env python3
"""Views in SQL compared with the same queries in DuckDB and in PyFlink: whole processes over one file, two threads each.

    benches/peers/install duckdb pyflink
    benches/peers/sql.py [--truckflow BINARY] [--records N] [--runs K] [--only duckdb|pyflink]

Prints the median of alternating runs, and the ratios. All write CSV files; truckflow commits its state, too, and its file has a line at each
epoch that changed a group. Flink runs in batch mode on its local mini cluster, which is faster than a stream; where it lacks an aggregate, its
query computes the sums of it. The number of rows must be the same; of truckflow's lines the last one of a group counts.
"""

import argparse
import csv
import random
import shutil
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

PEERS = Path(__file__).resolve().parent.parent.parent / ".test" / "peers"

# A query of truckflow, its key columns, and the same for DuckDB over R and for Flink over readings.
SUMS = "SUM({x}), SUM({y}), SUM({x} * {x}), SUM({x} * {y}), SUM({y} * {y})"
SUMS = SUMS.format(x="engine_speed", y="distance_covered")
QUERIES = {
    "filter and projection": (
        "SELECT timestamp, truck_id, engine_speed * 1.2 AS scaled FROM readings WHERE engine_speed > 80",
        None,
        "SELECT timestamp, truck_id, engine_speed * 1.2 AS scaled FROM R WHERE engine_speed > 80",
        "SELECT `timestamp`, truck_id, engine_speed * 1.2 AS scaled FROM readings WHERE engine_speed > 80",
    ),
    "GROUP BY truck, five aggregates": (
        "SELECT truck_id, COUNT(*) AS n, SUM(distance_covered) AS d, AVG(engine_speed) AS a, MIN(fuel_consumed) AS lo, "
        "MAX(fuel_consumed) AS hi FROM readings GROUP BY truck_id",
        1,
        "SELECT truck_id, COUNT(*) AS n, SUM(distance_covered) AS d, AVG(engine_speed) AS a, MIN(fuel_consumed) AS lo, "
        "MAX(fuel_consumed) AS hi FROM R GROUP BY truck_id",
        "SELECT truck_id, COUNT(*), SUM(distance_covered), AVG(engine_speed), MIN(fuel_consumed), MAX(fuel_consumed) "
        "FROM readings GROUP BY truck_id",
    ),
    "TUMBLE of 5 minutes, AVG and CORR": (
        "SELECT truck_id, window_start, AVG(engine_speed) AS a, CORR(engine_speed, distance_covered) AS c "
        "FROM TUMBLE(readings, timestamp, INTERVAL '5 minutes') GROUP BY truck_id, window_start, window_end",
        2,
        "SELECT truck_id, time_bucket(INTERVAL '5 minutes', timestamp) AS w, AVG(engine_speed) AS a, "
        "CORR(engine_speed, distance_covered) AS c FROM R GROUP BY ALL",
        f"SELECT truck_id, window_start, AVG(engine_speed), COUNT(*), {SUMS} FROM TABLE(TUMBLE(TABLE readings, "
        "DESCRIPTOR(`timestamp`), INTERVAL '5' MINUTES)) GROUP BY truck_id, window_start, window_end",
    ),
    "HOP of 30 minutes every minute, COUNT and CORR": (
        "SELECT truck_id, window_start, COUNT(*) AS n, CORR(engine_speed, distance_covered) AS c "
        "FROM HOP(readings, timestamp, INTERVAL '1 minute', INTERVAL '30 minutes') GROUP BY truck_id, window_start, window_end",
        2,
        "SELECT truck_id, time_bucket(INTERVAL '1 minute', timestamp) - k * INTERVAL '1 minute' AS w, COUNT(*) AS n, "
        "CORR(engine_speed, distance_covered) AS c FROM R, range(30) AS t(k) GROUP BY ALL",
        f"SELECT truck_id, window_start, COUNT(*), {SUMS} FROM TABLE(HOP(TABLE readings, DESCRIPTOR(`timestamp`), "
        "INTERVAL '1' MINUTES, INTERVAL '30' MINUTES)) GROUP BY truck_id, window_start, window_end",
    ),
}
DUCKDB = """
import duckdb
connection = duckdb.connect()
connection.execute("SET threads = 2")
connection.execute('''COPY ({query}) TO '{out}' (HEADER false)''')
"""
DUCKDB_COLUMNS = "timestamp: 'TIMESTAMP', distance_covered: 'DOUBLE', engine_speed: 'DOUBLE', fuel_consumed: 'DOUBLE', truck_id: 'VARCHAR'"
PYFLINK = """
from pyflink.table import EnvironmentSettings, Schema, TableDescriptor, TableEnvironment
tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
tables.get_config().set("parallelism.default", "2")
tables.execute_sql('''CREATE TABLE readings (`timestamp` TIMESTAMP(6), distance_covered DOUBLE, engine_speed DOUBLE,
    fuel_consumed DOUBLE, truck_id STRING) WITH ('connector' = 'filesystem', 'path' = '{source}', 'format' = 'json',
    'json.timestamp-format.standard' = 'SQL')''')
query = tables.sql_query('''{query}''')
schema = Schema.new_builder()
found = query.get_schema()
for name, kind in zip(found.get_field_names(), found.get_field_data_types()):
    schema.column(name, kind)
tables.create_temporary_table("target", TableDescriptor.for_connector("filesystem").schema(schema.build())
    .option("path", "{out}").format("csv").build())
query.execute_insert("target").wait()
"""


def write_input(path, records):
    numbers = random.Random(1)
    with open(path, "w") as file:
        for n in range(records):
            t = n // 5
            time_text = f"2023-04-{10 + t // 86400:02} {t // 3600 % 24:02}:{t // 60 % 60:02}:{t % 60:02}.000000"
            file.write(
                f'{{"timestamp": "{time_text}", "distance_covered": {numbers.random() * 5:.2f}, '
                f'"engine_speed": {75 + numbers.random() * 10:.2f}, "fuel_consumed": {numbers.random() / 10:.2f}, '
                f'"truck_id": "truck-{n % 5}"}}\n'
            )


def timed(command):
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{command[0]} failed: {done.stderr[-2000:]}")
    return time.monotonic() - start


def rows(path, key=None):
    """The number of rows in a file or folder; with a key of that many columns, of different ones."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    found = [row for file in files if not file.name.startswith((".", "_")) for row in csv.reader(file.open())]
    return len(found) if key is None else len({tuple(row[:key]) for row in found})


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--truckflow", default="target/release/truckflow")
    arguments.add_argument("--records", type=int, default=2_000_000)
    arguments.add_argument("--runs", type=int, default=5)
    arguments.add_argument("--only", choices=["duckdb", "pyflink"])
    given = arguments.parse_args()
    peers = [given.only] if given.only else ["duckdb", "pyflink"]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        source, sql, out, other = (folder / name for name in ("input.jsonl", "views.sql", "out", "answer"))
        write_input(source, given.records)
        print("| query | truckflow s | " + " | ".join(f"{peer} s | ratio" for peer in peers) + " |")
        print("|---" * (2 + 2 * len(peers)) + "|")
        for name, (ours, key, duckdb, flink) in QUERIES.items():
            # Of windows, those that are open have lines, too.
            emit = ", emit = 'changes'" if "window_start" in ours else ""
            sql.write_text(f"CREATE MATERIALIZED VIEW v WITH (table = false{emit}) AS {ours}")
            relation = f"read_json('{source}', format = 'newline_delimited', columns = {{{DUCKDB_COLUMNS}}}) AS R"
            code = {
                "duckdb": DUCKDB.format(query=duckdb.replace("FROM R", f"FROM {relation}"), out=other),
                "pyflink": PYFLINK.format(source=source, query=flink, out=other),
            }
            times = {peer: [] for peer in ["truckflow", *peers]}
            for _ in range(given.runs):
                shutil.rmtree(out, ignore_errors=True)
                run = [given.truckflow, "run", "--sql", sql, "--input", source, "--until-end", "--workers", "2"]
                times["truckflow"].append(timed([*run, "--out", out, "--listen", "off"]))
                answer = rows(out / "v.csv", key) - 1
                for peer in peers:
                    shutil.rmtree(other, ignore_errors=True)
                    other.unlink(missing_ok=True)
                    times[peer].append(timed([PEERS / peer / "bin" / "python", "-c", code[peer]]))
                    if (found := rows(other)) != answer:
                        raise SystemExit(f"{name}: {peer} has {found} rows, truckflow {answer}")
            middle = {peer: statistics.median(seconds) for peer, seconds in times.items()}
            ratios = [f"{middle[peer]:.2f} | {middle[peer] / middle['truckflow']:.1f}x" for peer in peers]
            print(f"| {name} | {middle['truckflow']:.2f} | " + " | ".join(ratios) + " |", flush=True)


if __name__ == "__main__":
    main()
