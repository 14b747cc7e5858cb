"""Queries over a file of readings, whose rows are written to CSV by both sides."""

import contextlib
import csv
import math
import tempfile
from pathlib import Path

import truckflow
from case import Outcome, Peer
from contract import WORKERS
from measure import Failed, measure
from queries import QUERIES

TRUCKS = 5
# Sums of doubles depend on the order.
TOLERANCE = 1e-9
PEERS = [
    Peer("DuckDB", "duckdb", 1.5),
    Peer("chDB", "chdb", 4),
    Peer("Polars", "polars", 4),
    Peer("PyFlink", "pyflink", 40),
]


class Written:
    # The goals are for both.
    judged = ("ratio", "ratio_without_startup")

    def __init__(self, name, query):
        self.name, self.query, self.title = name, query, query.title
        self.peers = [peer for peer in PEERS if peer.name in query.peers]

    @contextlib.contextmanager
    def open(self, records):
        self.path, self.records = truckflow.readings(records, TRUCKS), records
        with tempfile.TemporaryDirectory(dir=truckflow.SCRATCH) as folder:
            self.folder = Path(folder)
            # Of windows, those that are open have lines, too.
            emit = ", emit = 'changes'" if "window_start" in self.query.truckflow else ""
            self.sql = self.folder / "views.sql"
            self.sql.write_text(f"CREATE MATERIALIZED VIEW v WITH (table = false{emit}) AS {self.query.truckflow}")
            yield self

    def ours(self):
        with truckflow.out_folder() as out:
            flags = ["--sql", str(self.sql), "--input", str(self.path)]
            measured = measure(truckflow.job(out, *flags, views=(), workers=WORKERS))
            records, seconds = truckflow.done(measured)
            if records != self.records:
                raise Failed(f"truckflow read {records} records of {self.records}")
            return Outcome(measured, records / seconds, self.rows(Path(out) / "v.csv", keys=self.query.keys))

    def theirs(self, peer):
        with tempfile.TemporaryDirectory(dir=self.folder) as folder:
            out = Path(folder) / "answer"
            outcome = peer.run(self.records, self.path, self.name, out)
            return Outcome(outcome.measured, outcome.rate, self.rows(out))

    def rows(self, path, keys=None):
        """The number of rows in a file or folder, and the sum of a column; with keys, of the last row of each."""
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        rows = (row for file in files if not file.name.startswith((".", "_")) for row in csv.reader(file.open()))
        if path.suffix == ".csv":
            next(rows)  # truckflow's file has a header.
        if keys is not None:
            rows = {tuple(row[:keys]): row for row in rows}.values()
        values = [float(row[self.query.checked]) for row in rows]
        return len(values), math.fsum(values)

    def compare(self, ours, theirs):
        if ours[0] != theirs[0] or not math.isclose(ours[1], theirs[1], rel_tol=TOLERANCE):
            raise Failed(f"its rows differ: truckflow has {ours[0]} with the sum {ours[1]}, the peer {theirs[0]} with {theirs[1]}")


CASES = [Written(name, query) for name, query in QUERIES.items()]
