"""DuckDB: one query over the file, with its own `corr`; rows are written by COPY."""

import sys
import time

import duckdb

from contract import ORIGIN, WORKERS, report
from queries import QUERIES

PATH, *QUERY = sys.argv[1:]
AT = f"epoch_us(timestamp) - epoch_us(TIMESTAMP '{ORIGIN}')"
CORRELATIONS = f"""
    SELECT truck_id, count(*), corr(distance_covered, {AT}), corr(engine_speed, {AT}) FROM R GROUP BY truck_id
"""
# Only the columns that are used are parsed.
VIEW = f"""
    CREATE VIEW R AS FROM read_json('{PATH}', format = 'newline_delimited', columns = {{
        timestamp: 'TIMESTAMP', distance_covered: 'DOUBLE', engine_speed: 'DOUBLE', fuel_consumed: 'DOUBLE',
        truck_id: 'VARCHAR'
    }})
"""

database = duckdb.connect()
database.execute(f"SET threads = {WORKERS}")
database.execute("SET preserve_insertion_order = false")

began = time.perf_counter()
database.execute(VIEW)
if QUERY:
    name, out = QUERY
    database.execute(f"COPY ({QUERIES[name].peers['duckdb']}) TO '{out}' (FORMAT csv, HEADER false)")
    rows = None
else:
    rows = database.execute(CORRELATIONS).fetchall()
report(rows, time.perf_counter() - began)
