"""DuckDB: one query over the file, with its own `corr`."""

import sys
import time

import duckdb

from contract import ORIGIN, WORKERS, report

AT = f"epoch_us(timestamp) - epoch_us(TIMESTAMP '{ORIGIN}')"
QUERY = f"""
    SELECT truck_id, count(*), corr(distance_covered, {AT}), corr(engine_speed, {AT})
    FROM read_json(?, format = 'newline_delimited', columns = {{
        timestamp: 'TIMESTAMP', distance_covered: 'DOUBLE', engine_speed: 'DOUBLE', truck_id: 'VARCHAR'
    }})
    GROUP BY truck_id
"""

database = duckdb.connect()
database.execute(f"SET threads = {WORKERS}")
database.execute("SET preserve_insertion_order = false")

began = time.perf_counter()
rows = database.execute(QUERY, [sys.argv[1]]).fetchall()
report(rows, time.perf_counter() - began)
