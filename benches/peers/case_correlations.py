"""Both correlations of a file of readings, with few trucks and with many."""

import contextlib
import math

import truckflow
from case import Outcome, Peer
from contract import WORKERS
from measure import Failed

# The allowed error of doubles, in r.
TOLERANCE = 1e-9

SINGLE_PROCESS = [Peer("DuckDB", "duckdb", 1.5), Peer("chDB", "chdb", 4), Peer("Polars", "polars", 4)]
FRAMEWORKS = [
    Peer("Bytewax, record by record", "bytewax", 10, ("records",)),
    Peer("Bytewax, summed by batch", "bytewax", 10, ("batches",)),
    Peer("Pathway", "pathway", 25),
    Peer("PyFlink", "pyflink", 40),
    Peer("PySpark, batch", "pyspark", 40, ("batch",)),
    Peer("PySpark, stream", "pyspark", 40, ("stream",)),
]


class Correlations:
    # The goals are for both.
    judged = ("ratio", "ratio_without_startup")

    def __init__(self, name, trucks, peers):
        self.name, self.trucks, self.peers = name, trucks, peers
        self.title = f"correlations, {trucks:,} trucks"

    @contextlib.contextmanager
    def open(self, records):
        self.path, self.records = truckflow.readings(records, self.trucks), records
        yield self

    def ours(self):
        run = truckflow.run("--input", str(self.path), workers=WORKERS)
        if run.records != self.records:
            raise Failed(f"truckflow read {run.records} records of {self.records}")
        return Outcome(run.measured, run.records / run.seconds, run.answer)

    def theirs(self, peer):
        return peer.run(self.records, self.path)

    def compare(self, ours, theirs):
        """Trucks and counts must be equal, and each r nearly so."""
        if [(truck, n) for truck, n, *_ in ours] != [(truck, n) for truck, n, *_ in theirs]:
            raise Failed(f"its counts differ: truckflow has {shown(ours)}, the peer {shown(theirs)}")
        for one, other in zip(ours, theirs):
            if not all(map(same, one[2:], other[2:])):
                raise Failed(f"its r differ by more than {TOLERANCE:.0e}: truckflow has {one}, the peer {other}")


def same(r, other):
    """Without variance there is no r, which is a NaN for some."""
    undefined = [value is None or math.isnan(value) for value in (r, other)]
    return all(undefined) or not any(undefined) and abs(r - other) <= TOLERANCE


def shown(answer):
    return f"{len(answer)} trucks, the first of them {answer[:2]}"


CASES = [
    Correlations("correlations", 5, SINGLE_PROCESS + FRAMEWORKS),
    # The frameworks take minutes for it.
    Correlations("many_trucks", 100_000, SINGLE_PROCESS),
]
