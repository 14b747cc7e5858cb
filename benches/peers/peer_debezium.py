"""The Debezium JDBC sink connector on a standalone Kafka Connect, from a topic into a table until it is stopped.

    peer_debezium.py BROKERS TOPIC PORT DATABASE TABLE FOLDER     writes the settings into FOLDER and becomes Kafka Connect
"""

import json
import os
import sys
from pathlib import Path

from contract import WORKERS

brokers, topic, port, database, table, folder = sys.argv[1:]
folder = Path(folder)
jars = Path(__file__).resolve().parents[2] / ".test" / "peers" / "debezium" / "jars"

# Each message is only the values; the schema is in the settings, so that it is not parsed with each message.
SCHEMA = {
    "type": "struct",
    "fields": [
        {"field": "timestamp", "type": "string"},
        {"field": "distance_covered", "type": "double"},
        {"field": "engine_speed", "type": "double"},
        {"field": "fuel_consumed", "type": "double"},
        {"field": "truck_id", "type": "string"},
    ],
}
WORKER = {
    "bootstrap.servers": brokers,
    "key.converter": "org.apache.kafka.connect.storage.StringConverter",
    "value.converter": "org.apache.kafka.connect.json.JsonConverter",
    "value.converter.schemas.enable": "true",
    "value.converter.schema.content": json.dumps(SCHEMA),
    "offset.storage.file.filename": folder / "offsets",
    "listeners": "http://127.0.0.1:0",
    "plugin.discovery": "service_load",
}
# The fastest of 1,000, 3,000, 5,000, 10,000 and 50,000 records.
BATCH = 3_000
CONNECTOR = {
    "name": f"peer-{database}",
    "connector.class": "io.debezium.connector.jdbc.JdbcSinkConnector",
    "tasks.max": WORKERS,
    "topics": topic,
    # This driver sends a batch as one command. It needs a third less CPU than MySQL's with rewriteBatchedStatements.
    "connection.url": f"jdbc:mariadb://127.0.0.1:{port}/{database}",
    "connection.username": "root",
    "connection.password": "",
    "insert.mode": "insert",
    "primary.key.mode": "none",
    "schema.evolution": "none",
    "collection.name.format": table,
    "batch.size": BATCH,
    "consumer.override.max.poll.records": BATCH,
    "consumer.override.fetch.min.bytes": 1 << 20,
    "consumer.override.max.partition.fetch.bytes": 8 << 20,
    "consumer.override.auto.offset.reset": "earliest",
}


def write(name, settings):
    path = folder / name
    path.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
    return str(path)


files = [write("worker.properties", WORKER), write("connector.properties", CONNECTOR)]
java = ["java", "-Xmx2g", "-cp", f"{jars}/*", "org.apache.kafka.connect.cli.ConnectStandalone", *files]
os.execvp("java", java)
