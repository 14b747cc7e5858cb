"""PyFlink: SQL over its filesystem connector, on the local mini cluster, in batch mode.

Batch mode is faster: as a stream, each record changes a row of the result. Flink has no `CORR`, so the
query computes sums, and r is computed from them.
"""

import sys
import time

from pyflink.table import EnvironmentSettings, Schema, TableDescriptor, TableEnvironment

from contract import ORIGIN, WORKERS, correlation, report
from queries import QUERIES

PATH, *QUERY = sys.argv[1:]
SOURCE = f"""
    CREATE TABLE readings (
        `timestamp` TIMESTAMP(6), distance_covered DOUBLE, engine_speed DOUBLE, fuel_consumed DOUBLE, truck_id STRING
    ) WITH ('connector' = 'filesystem', 'path' = '{PATH}', 'format' = 'json', 'json.timestamp-format.standard' = 'SQL')
"""
CORRELATIONS = f"""
    SELECT truck_id, COUNT(*), SUM(t), SUM(d), SUM(s), SUM(t * t), SUM(t * d), SUM(t * s), SUM(d * d), SUM(s * s)
    FROM (
        SELECT truck_id, distance_covered AS d, engine_speed AS s,
            TIMESTAMPDIFF(SECOND, TIMESTAMP '{ORIGIN}', `timestamp`) + EXTRACT(MICROSECOND FROM `timestamp`) / 1e6 AS t
        FROM readings
    )
    GROUP BY truck_id
"""


def row(truck, n, t, d, s, tt, td, ts, dd, ss):
    return truck, n, correlation(n, t, d, tt, td, dd), correlation(n, t, s, tt, ts, ss)


def write(query, out):
    schema = Schema.new_builder()
    found = query.get_schema()
    for name, kind in zip(found.get_field_names(), found.get_field_data_types()):
        schema.column(name, kind)
    target = TableDescriptor.for_connector("filesystem").schema(schema.build()).option("path", out).format("csv")
    tables.create_temporary_table("target", target.build())
    query.execute_insert("target").wait()


tables = TableEnvironment.create(EnvironmentSettings.in_batch_mode())
tables.get_config().set("parallelism.default", str(WORKERS))

began = time.perf_counter()
tables.execute_sql(SOURCE)
if QUERY:
    name, out = QUERY
    write(tables.sql_query(QUERIES[name].peers["pyflink"]), out)
    answer = None
else:
    with tables.execute_sql(CORRELATIONS).collect() as rows:
        answer = [row(*sums) for sums in rows]
report(answer, time.perf_counter() - began)
