"""chDB, ClickHouse in a process: one query over the file, with its own `corrStable`."""

import json
import sys
import time

import chdb

from contract import ORIGIN, WORKERS, report

# Its `corr` loses digits of times in microseconds.
QUERY = f"""
    SELECT truck_id, count(), corrStable(distance_covered, at), corrStable(engine_speed, at)
    FROM (
        SELECT truck_id, distance_covered, engine_speed, toUnixTimestamp64Micro(timestamp) - toUnixTimestamp64Micro(toDateTime64('{ORIGIN}', 6, 'UTC')) AS at
        FROM file('{sys.argv[1]}', 'JSONEachRow',
            'timestamp DateTime64(6, \\'UTC\\'), distance_covered Float64, engine_speed Float64, truck_id String')
    )
    GROUP BY truck_id
    SETTINGS max_threads = {WORKERS}, input_format_skip_unknown_fields = 1, date_time_input_format = 'best_effort'
"""

chdb.query("SELECT 1")

began = time.perf_counter()
rows = [json.loads(line) for line in str(chdb.query(QUERY, "JSONCompactEachRow")).splitlines()]
report([[truck, int(n), distance, speed] for truck, n, distance, speed in rows], time.perf_counter() - began)
