"""Flink SQL: from a topic, which is read to its present end, into a table, on PyFlink's local mini cluster.

    peer_flink.py BROKERS TOPIC PORT DATABASE TABLE FOLDER
"""

import sys
from pathlib import Path

from pyflink.table import EnvironmentSettings, TableEnvironment

from contract import WORKERS

brokers, topic, port, database, table, _ = sys.argv[1:]
jars = Path(__file__).resolve().parents[2] / ".test" / "peers" / "flink" / "jars"
# The time is a text in the messages, and MariaDB reads it: Connector/J sends it no fractions of a second.
COLUMNS = """
    `timestamp` STRING, distance_covered DOUBLE, engine_speed DOUBLE, fuel_consumed DOUBLE, truck_id STRING
"""
SOURCE = f"""
    CREATE TABLE readings ({COLUMNS}) WITH (
        'connector' = 'kafka', 'topic' = '{topic}', 'properties.bootstrap.servers' = '{brokers}',
        'properties.group.id' = 'peer', 'scan.startup.mode' = 'earliest-offset', 'scan.bounded.mode' = 'latest-offset',
        'properties.max.poll.records' = '10000', 'properties.max.partition.fetch.bytes' = '8388608',
        'format' = 'json'
    )
"""
SINK = f"""
    CREATE TABLE target ({COLUMNS}) WITH (
        'connector' = 'jdbc', 'url' = 'jdbc:mysql://127.0.0.1:{port}/{database}?rewriteBatchedStatements=true',
        'table-name' = '{table}', 'username' = 'root', 'password' = '',
        'sink.buffer-flush.max-rows' = '10000', 'sink.buffer-flush.interval' = '1s'
    )
"""
tables = TableEnvironment.create(EnvironmentSettings.in_streaming_mode())
tables.get_config().set("parallelism.default", str(WORKERS))
tables.get_config().set("pipeline.jars", ";".join(f"file://{jar}" for jar in sorted(jars.glob("*.jar"))))
tables.execute_sql(SOURCE)
tables.execute_sql(SINK)
tables.execute_sql("INSERT INTO target SELECT * FROM readings").wait()
