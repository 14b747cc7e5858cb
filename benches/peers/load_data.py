#!/usr/bin/env python3
"""Compares Kafka -> TRUCK_PARAMETER_MAP with only `LOAD DATA LOCAL INFILE` of the same rows.

    benches/peers/load_data.py [--records N] [--rounds N] [--workers N] [--mysql-root FOLDER] [--only NAME]

Starts a Kafka broker, MariaDB, and with --mysql-root MySQL: a folder that `debootstrap
--include=mysql-server-core sid FOLDER` has made. All use their own ports, keep their data in a
new folder, have default settings (except `local_infile`), and are stopped at the end. Each round runs
truckflow into an empty database, then loads the rows that it wrote, from a file in one statement, into
an empty table of the same definition. A first run is not counted. Build truckflow first:
cargo build --release.
"""

import argparse
import contextlib
import re
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "benches"))

from database import RUN_SECONDS, Server, mariadb, mysql, run
from measure import Failed
from ports import free_ports

TRUCKFLOW = REPOSITORY / "target/release/truckflow"
TABLE = "TRUCK_PARAMETER_MAP"
TOPIC = "Truck-Data"
PARTITIONS = 4
# That of truckflow.
SESSION = (
    "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION', "
    "sql_notes = 0"
)


def kafka(folder):
    jars = REPOSITORY / ".test/kafka-libs"
    if not jars.is_dir():
        sys.exit(f"there are no Kafka jars in {jars}; run tools/install-test-servers")
    folder.mkdir()
    port, controller = free_ports(2)
    (folder / "server.properties").write_text(
        f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
controller.listener.names=CONTROLLER
log.dirs={folder}/data
offsets.topic.replication.factor=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
"""
    )
    java = ["java", "-Xmx1g", "-cp", f"{jars}/*"]
    uuid = "MkU3OEVBNTcwNTJENDM2Qk"
    run([*java, "kafka.tools.StorageTool", "format", "--cluster-id", uuid, "--config", "server.properties"], cwd=folder)
    broker = Server([*java, "kafka.Kafka", "server.properties"], folder / "log", folder)

    def answers():
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return True
        return False

    broker.wait_until(answers)
    return broker, f"127.0.0.1:{port}"


def create_topic(brokers):
    """CreateTopics, version 2: the command for it is in none of the broker's jars."""
    name = struct.pack(">h", len(TOPIC)) + TOPIC.encode()
    topic = name + struct.pack(">ihii", PARTITIONS, 1, 0, 0)
    body = struct.pack(">hhih", 19, 2, 7, -1) + struct.pack(">i", 1) + topic + struct.pack(">i?", 30_000, False)
    host, port = brokers.split(":")
    with socket.create_connection((host, int(port)), 60) as stream:
        stream.sendall(struct.pack(">i", len(body)) + body)
        answer = stream.recv(4096)
    # Size, number, throttling, one topic: its name and code.
    at = 16 + len(name)
    if answer[at : at + 2] != bytes(2):
        sys.exit(f"Kafka does not make the topic: {answer!r}")


def truckflow(database, brokers, workers, out):
    url = database.empty("job")
    shutil.rmtree(out, ignore_errors=True)
    said = run(
        [TRUCKFLOW, "run", "--brokers", brokers, "--topic", TOPIC, "--until-end", "--summary", "--listen", "off"]
        + ["--builtin-views", "parameter_map", "--set", "csv.views=[]", "--workers", str(workers), "--out", str(out)]
        + ["--database", url]
    )
    return float(re.search(r"\((\d+) readings/s\)", said)[1])


def load(database, rows, count):
    database.empty("peer")
    database.query(f"CREATE TABLE peer.{TABLE} LIKE job.{TABLE}")
    columns = "`timestamp`, distance_covered, engine_speed, fuel_consumed, truck_id"
    began = time.monotonic()
    database.query(
        f"{SESSION}; LOAD DATA LOCAL INFILE '{rows}' INTO TABLE {TABLE} CHARACTER SET utf8mb4 ({columns})", "peer"
    )
    rate = count / (time.monotonic() - began)
    loaded = int(database.query(f"SELECT COUNT(*) FROM {TABLE}", "peer"))
    if loaded != count:
        sys.exit(f"{loaded} of {count} rows were loaded")
    return rate


def compare(database, brokers, arguments, folder):
    rows, rates = folder / f"{database.name}.tsv", []
    # The broker is slow until it is warm.
    truckflow(database, brokers, arguments.workers, folder / "out")
    for number in range(1, arguments.rounds + 1):
        job = truckflow(database, brokers, arguments.workers, folder / "out")
        committed, last = database.query(f"SELECT COUNT(*), MAX(id) FROM {TABLE}", "job").split()
        if int(committed) != arguments.records:
            sys.exit(f"{committed} of {arguments.records} rows were committed")
        if not rows.exists():
            columns = "`timestamp`, distance_covered, engine_speed, fuel_consumed, truck_id"
            with open(rows, "wb") as out:
                select = f"SELECT {columns} FROM {TABLE} ORDER BY id"
                command = [*database.client, "-N", "-B", "--quick", "-e", select, "job"]
                subprocess.run(command, stdout=out, check=True, timeout=RUN_SECONDS)
        alone = load(database, rows, arguments.records)
        rates.append((job, alone))
        print(
            f"{database.name}, round {number}: truckflow {job:,.0f} records/s, LOAD DATA alone {alone:,.0f}, "
            f"ratio {job / alone:.2f}; {int(last) - arguments.records} numbers of ids lost",
            flush=True,
        )
    job, alone = (statistics.median(column) for column in zip(*rates))
    ratio = statistics.median(job / alone for job, alone in rates)
    print(f"{database.name}, medians: truckflow {job:,.0f}, LOAD DATA alone {alone:,.0f}, ratio {ratio:.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--records", type=int, default=2_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--mysql-root", type=Path)
    parser.add_argument("--only", choices=["mariadb", "mysql"])
    arguments = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="load_data.")))
        broker, brokers = kafka(folder / "kafka")
        stack.enter_context(broker)
        create_topic(brokers)
        fleet = ["--trucks", "10", "--records", str(arguments.records), "--seed", "5", "--format", "numpy"]
        run([TRUCKFLOW, "simulate", *fleet, "--brokers", brokers, "--topic", TOPIC, "--to", "topic"])
        starts = []
        if arguments.only != "mysql":
            starts.append(lambda: mariadb(folder / "mariadb"))
        if arguments.mysql_root and arguments.only != "mariadb":
            starts.append(lambda: mysql(folder / "mysql", arguments.mysql_root))
        for start in starts:
            database = start()
            with database.server:
                compare(database, brokers, arguments, folder)


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        sys.exit(f"load_data: {failure}")
