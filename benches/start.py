#!/usr/bin/env python3
"""Measures the time from the start of a process to its first commit, from a file directly and through the embedded broker.

    benches/start.py [--runs N] [--busy N]

Each run is a new job over 10,000 readings of 5 trucks, with all views into SQLite and files, then its restart with as many
more. Prints the minimum, median and maximum in milliseconds. `--busy` keeps that many other processes running. Build
truckflow first, or set TRUCKFLOW to a binary.
"""

import argparse
import contextlib
import json
import os
import subprocess
import time
from pathlib import Path
from statistics import median

import truckflow
from measure import Failed

READINGS = 10_000
JOBS = {"a file": [], "--embedded": ["--embedded"]}


def first_commit(flags, lines, out):
    """Appends to the job's input, and runs it to the end. Returns milliseconds."""
    path = out / "readings.jsonl"
    with open(path, "a") as file:
        file.writelines(lines)
    command = [truckflow.binary(), "run", *flags, "--input", str(path), "--until-end", "--listen", "off"]
    began = time.time()
    environment = {**os.environ, "TRUCKFLOW_LOG": "warn"}
    done = subprocess.run(
        [*command, "--out", str(out / "job"), "--events", "1"], capture_output=True, text=True, env=environment
    )
    if done.returncode != 0:
        raise Failed(f"truckflow ended with status {done.returncode}: {done.stderr[-2000:]}")
    events = map(json.loads, done.stdout.splitlines())
    at = next(event["at"] for event in events if event["event"] == "committed" and event["messages"] > 0)
    return at / 1e3 - began * 1e3


@contextlib.contextmanager
def busy(count):
    """That many processes that only compute."""
    processes = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=40)
    parser.add_argument("--busy", type=int, default=0)
    arguments = parser.parse_args()
    with open(truckflow.readings(2 * READINGS)) as file:
        lines = file.readlines()
    times = {(job, step): [] for job in JOBS for step in ("new", "restarted")}
    print(f"load {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, {arguments.runs} runs")
    with busy(arguments.busy):
        for _ in range(arguments.runs):
            for job, flags in JOBS.items():
                with truckflow.out_folder() as out:
                    for step, part in (("new", lines[:READINGS]), ("restarted", lines[READINGS:])):
                        times[job, step].append(first_commit(flags, part, Path(out)))
    for (job, step), found in times.items():
        print(f"{job}, {step}: {min(found):.0f}, {median(found):.0f}, {max(found):.0f} ms")


if __name__ == "__main__":
    try:
        main()
    except Failed as failure:
        raise SystemExit(f"start: {failure}") from None
