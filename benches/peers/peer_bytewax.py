"""Bytewax: two processes (two workers in one would share Python's lock), each with its half of the file.

    peer_bytewax.py FILE records     each line goes through the operators, as in its documentation
    peer_bytewax.py FILE batches     a batch of lines is summed where it is read; only the sums go through the graph
"""

import os
import socket
import sys
import time
from collections import defaultdict
from datetime import datetime, timedelta
from multiprocessing import Pool
from operator import add

import bytewax.operators as op
import orjson
from bytewax.dataflow import Dataflow
from bytewax.inputs import DynamicSource, StatelessSourcePartition
from bytewax.run import cli_main
from bytewax.testing import TestingSink

from contract import ORIGIN, WORKERS, correlation, report

BATCH_BYTES = 1 << 20
PATH, FORM = sys.argv[1:3]
EPOCH = datetime.fromisoformat(ORIGIN)
SECOND = timedelta(seconds=1)


class Lines(DynamicSource):
    """The lines of a file; each worker reads those that begin in its share of the bytes."""

    def __init__(self, path):
        self.path = path

    def build(self, step_id, worker_index, worker_count):
        return Share(self.path, worker_index, worker_count)


class Share(StatelessSourcePartition):
    def __init__(self, path, index, count):
        size = os.path.getsize(path)
        self.file, self.end = open(path, "rb"), size * (index + 1) // count
        if index > 0:
            self.file.seek(size * index // count - 1)
            self.file.readline()

    def next_batch(self):
        left = self.end - self.file.tell()
        if left <= 0:
            raise StopIteration
        return self.file.readlines(min(left, BATCH_BYTES))


def sums_by_truck(lines):
    """The sums of a batch of lines, a pair for each truck."""
    sums = defaultdict(lambda: [0] * 9)
    for line in lines:
        reading = orjson.loads(line)
        add_reading(sums[reading["truck_id"]], reading)
    return sums.items()


def add_reading(sums, reading):
    t = (datetime.fromisoformat(reading["timestamp"]) - EPOCH) / SECOND
    d, s = reading["distance_covered"], reading["engine_speed"]
    sums[0] += 1
    sums[1] += t
    sums[2] += d
    sums[3] += s
    sums[4] += t * t
    sums[5] += t * d
    sums[6] += t * s
    sums[7] += d * d
    sums[8] += s * s
    return sums


def row(truck_and_sums):
    truck, (n, t, d, s, tt, td, ts, dd, ss) = truck_and_sums
    return truck, n, correlation(n, t, d, tt, td, dd), correlation(n, t, s, tt, ts, ss)


def run(process, addresses):
    """One process of the cluster: its rows, and when it began and ended."""
    began = time.monotonic()
    rows = []
    flow = Dataflow("correlations")
    lines = op.input("lines", flow, Lines(PATH))
    if FORM == "records":
        readings = op.map("parse", lines, orjson.loads)
        by_truck = op.key_on("truck", readings, lambda reading: reading["truck_id"])
        sums = op.fold_final("sum", by_truck, lambda: [0] * 9, add_reading)
    else:
        batches = op.flat_map_batch("sum", lines, sums_by_truck)
        sums = op.reduce_final("merge", batches, lambda one, other: list(map(add, one, other)))
    op.output("rows", op.map("correlate", sums, row), TestingSink(rows))
    cli_main(flow, process_id=process, addresses=addresses)
    return rows, began, time.monotonic()


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = ["127.0.0.1:%d" % each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return addresses


if __name__ == "__main__":
    addresses = free_addresses(WORKERS)
    with Pool(WORKERS) as pool:
        done = pool.starmap(run, [(process, addresses) for process in range(WORKERS)], chunksize=1)
    rows, began, ended = zip(*done)
    report(sum(rows, []), max(ended) - min(began))
