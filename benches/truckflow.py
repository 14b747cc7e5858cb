"""Runs truckflow for the benchmark scripts, and reads its results."""

import csv
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from measure import Failed, Measured, measure

REPOSITORY = Path(__file__).resolve().parent.parent
SCRATCH = REPOSITORY / ".test" / "benches"
CORRELATIONS = ("distance_correlation", "engine_speed_correlation")


@dataclass
class Run:
    """A run of a job to the end of its input."""

    records: int
    # From before the first read until after the last commit.
    seconds: float
    # Per truck, if both correlations were kept: [truck, n, r_distance, r_speed].
    answer: list
    measured: Measured


def binary():
    """The binary to measure: `TRUCKFLOW`, or the one of `cargo build --release`."""
    path = Path(os.environ.get("TRUCKFLOW", REPOSITORY / "target/release/truckflow"))
    if not path.exists():
        raise Failed(f"{path} does not exist; run `cargo build --locked --release`, or set TRUCKFLOW to a binary")
    return str(path)


def readings(records, trucks=5, seed=9):
    """A file of the simulator's readings, created once, alone in its folder."""
    path = SCRATCH / f"readings-{trucks}-{records}" / "readings.jsonl"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = SCRATCH / f"part-{os.getpid()}"
        command = [binary(), "simulate", "--trucks", str(trucks), "--truck-prefix", "truck-"]
        measure([*command, "--records", str(records), "--seed", str(seed), "--format", "json", "--to", str(part)])
        part.rename(path)
    return path


def run(*flags, views=CORRELATIONS, workers=2, stdin=subprocess.DEVNULL):
    """Runs a job into a new folder."""
    with out_folder() as out:
        measured = measure(job(out, *flags, views=views, workers=workers), stdin=stdin)
        records, seconds = done(measured)
        answer = read_answer(out) if set(CORRELATIONS) <= set(views) else []
        return Run(records, seconds, answer, measured)


def out_folder():
    """A new folder, which is removed after the block."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    return tempfile.TemporaryDirectory(prefix="out-", dir=SCRATCH)


def job(out, *flags, views=CORRELATIONS, workers=2):
    """The command of a job that ends with its input. Without built-in views, the flags name others."""
    command = [binary(), "run", *flags, "--until-end", "--workers", str(workers), "--out", str(out)]
    builtin = ["--builtin-views", ",".join(views)] if views else []
    return [*command, "--listen", "off", "--log-format", "json", *builtin]


def done(measured):
    """Records and seconds, as the log's last line says them."""
    for line in map(json.loads, measured.stderr.splitlines()):
        if line["fields"].get("message") == "done":
            return line["fields"]["records"], line["fields"]["seconds"]
    raise Failed("truckflow ended without saying what it did")


def read_answer(out):
    """The last line of each truck, of both correlations."""
    distance, speed = (last_lines(Path(out) / f"{view}.csv") for view in CORRELATIONS)
    return [[truck, *distance[truck], speed[truck][1]] for truck in sorted(distance)]


def last_lines(path):
    with open(path, newline="") as file:
        rows = {row["truck_id"]: row for row in csv.DictReader(file)}
    number = lambda text: float(text) if text else None
    return {truck: (int(row["samples"]), number(row["correlation"])) for truck, row in rows.items()}
