"""A topic of Kafka into a table of MariaDB, a row for each message."""

import contextlib
import tempfile
import time
import uuid
from dataclasses import dataclass, replace

import pymysql
import truckflow
from broker import Broker
from case import Outcome, Peer
from contract import WORKERS
from database import temporary_mariadb
from measure import Failed, measure

TOPIC = "readings"
TRUCKS, PARTITIONS = 10, 4
TABLE = "TRUCK_PARAMETER_MAP"
# The rate is that of the middle half of the rows.
FROM, TO = 0.25, 0.75
CHECKSUM = f"""
    SELECT COUNT(*), SUM(CRC32(CONCAT_WS('|', timestamp, distance_covered, engine_speed, fuel_consumed, truck_id)))
    FROM {TABLE}
"""
PAUSE = 0.5
TIMEOUT = 300


@dataclass(frozen=True)
class Sink(Peer):
    # Whether it runs until it is stopped, when all rows are committed.
    endless: bool = False


class KafkaToMysql:
    name, title = "kafka_to_mysql", "Kafka to a MariaDB table"
    peers = [Sink("Debezium JDBC sink", "debezium", 5, endless=True), Sink("Flink SQL, Kafka to JDBC", "flink", 5)]
    # A peer that starts in seconds must not win or lose by it.
    judged = ("ratio_without_startup",)

    @contextlib.contextmanager
    def open(self, records):
        with Broker() as self.broker, temporary_mariadb() as self.server:
            self.records = records
            self.broker.create_topic(TOPIC, PARTITIONS)
            flags = ["--to", "topic", "--topic", TOPIC, "--brokers", self.broker.address, "--format", "json"]
            flags += ["--trucks", str(TRUCKS), "--records", str(records), "--seed", "5"]
            measure([truckflow.binary(), "simulate", *flags])
            # The broker is slow until it is warm, and the peers' tables are created like this one.
            with self.database("model") as self.model:
                with truckflow.out_folder() as out:
                    measure(self.job(self.model, out))
                yield self

    @contextlib.contextmanager
    def database(self, name=None):
        """A new database, which is dropped after the block. A peer finds its table in it."""
        name = name or f"run_{uuid.uuid4().hex[:8]}"
        self.server.query(f"CREATE DATABASE {name}")
        try:
            yield name
        finally:
            # If the server is gone, its data goes with it, and why this block was left matters more.
            with contextlib.suppress(Failed):
                self.server.query(f"DROP DATABASE {name}")

    def job(self, database, out):
        url = f"mysql://root@127.0.0.1:{self.server.port}/{database}?ssl-mode=DISABLED"
        flags = ["--brokers", self.broker.address, "--topic", TOPIC, "--database", url, "--set", "csv.views=[]"]
        return truckflow.job(out, *flags, views=("parameter_map",), workers=WORKERS)

    def ours(self):
        with self.database() as database, truckflow.out_folder() as out:
            return self.outcome(database, self.job(database, out), endless=False)

    def theirs(self, peer):
        with self.database() as database, tempfile.TemporaryDirectory(dir=truckflow.SCRATCH) as folder:
            self.server.query(f"CREATE TABLE {database}.{TABLE} LIKE {self.model}.{TABLE}")
            address = [self.broker.address, TOPIC, self.server.port, database, TABLE]
            return self.outcome(database, peer.command(*address, folder), peer.endless)

    def outcome(self, database, command, endless):
        with Progress(self.server.port, database, self.records) as progress:
            measured = measure(command, TIMEOUT, until=lambda: progress.look(endless))
            progress.look()
            if endless:
                measured = replace(measured, wall=progress.changed - progress.began)
            return Outcome(measured, progress.rate(), progress.rows())

    def compare(self, ours, theirs):
        if ours != theirs:
            raise Failed(f"its rows differ: count and checksum of truckflow are {ours}, of the peer {theirs}")


class Progress:
    """How many rows a table has, from time to time."""

    def __init__(self, port, database, records):
        self.records, self.seen = records, []
        self.connection = pymysql.connect(
            host="127.0.0.1", port=port, user="root", database=database, autocommit=True, read_timeout=TIMEOUT
        )
        self.cursor = self.connection.cursor()
        # Rows are seen while they are inserted, so that a large transaction is no step.
        self.cursor.execute("SET SESSION TRANSACTION ISOLATION LEVEL READ UNCOMMITTED")
        self.began = self.changed = time.perf_counter()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.connection.close()

    def look(self, endless=False):
        """Notes the last id, which costs nothing. Whether an endless peer has inserted all rows: a count, which costs half a
        second, so it waits until the peer pauses."""
        now, last = time.perf_counter(), self.last_id()
        if not self.seen or last != self.seen[-1][1]:
            self.changed = now
        self.seen.append((now, last))
        return endless and last >= self.records and now - self.changed > PAUSE and self.rows()[0] >= self.records

    def last_id(self):
        try:
            self.cursor.execute(f"SELECT MAX(id) FROM {TABLE}")
        except pymysql.err.ProgrammingError:
            return 0  # truckflow has not created the table yet.
        return self.cursor.fetchone()[0] or 0

    def rate(self):
        """Rows a second between a quarter and three quarters of the rows. Ids have gaps, of which both parts have their share."""
        last = self.seen[-1][1]
        if last == 0:
            raise Failed("it wrote no rows")
        return self.records * (TO - FROM) / (self.when(last * TO) - self.when(last * FROM))

    def when(self, rows):
        for (before, fewer), (after, more) in zip(self.seen, self.seen[1:]):
            if fewer < rows <= more:
                return before + (after - before) * (rows - fewer) / (more - fewer)
        raise Failed("its rows became fewer")

    def rows(self):
        """Their count and checksum."""
        self.cursor.execute(CHECKSUM)
        return tuple(int(value or 0) for value in self.cursor.fetchone())


CASES = [KafkaToMysql()]
