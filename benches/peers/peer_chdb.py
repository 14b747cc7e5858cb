"""chDB, ClickHouse in a process: one query over the file, with its own `corrStable`; rows are written INTO OUTFILE."""

import json
import sys
import time

import chdb

from contract import ORIGIN, WORKERS, report
from queries import QUERIES

PATH, *QUERY = sys.argv[1:]
SOURCE = f"""
    file('{PATH}', 'JSONEachRow',
        'timestamp DateTime64(6, \\'UTC\\'), distance_covered Float64, engine_speed Float64, truck_id String')
"""
SETTINGS = f"""
    SETTINGS max_threads = {WORKERS}, input_format_skip_unknown_fields = 1, date_time_input_format = 'best_effort'
"""
# Its `corr` loses digits of times in microseconds.
CORRELATIONS = f"""
    SELECT truck_id, count(), corrStable(distance_covered, at), corrStable(engine_speed, at)
    FROM (
        SELECT truck_id, distance_covered, engine_speed,
            toUnixTimestamp64Micro(timestamp) - toUnixTimestamp64Micro(toDateTime64('{ORIGIN}', 6, 'UTC')) AS at
        FROM {SOURCE}
    )
    GROUP BY truck_id
    {SETTINGS}
"""

chdb.query("SELECT 1")

began = time.perf_counter()
if QUERY:
    name, out = QUERY
    query = QUERIES[name].peers["chdb"].replace("FROM R", f"FROM {SOURCE}")
    chdb.query(f"{query} INTO OUTFILE '{out}' {SETTINGS} FORMAT CSV")
    rows = None
else:
    lines = str(chdb.query(CORRELATIONS, "JSONCompactEachRow")).splitlines()
    rows = [[truck, int(n), distance, speed] for truck, n, distance, speed in map(json.loads, lines)]
report(rows, time.perf_counter() - began)
