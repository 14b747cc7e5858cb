"""Runs a job for a long time, and checks that it does not grow. README.md describes the measurements."""

import argparse
import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import mean

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import truckflow
from broker import Broker
from database import temporary_mariadb
from measure import Failed
from ports import free_ports

PARTITIONS = 4
EVERY = 6  # seconds
TIMEOUT = 120
SEGMENT = 64 << 20
# A job that is less than ten seconds behind keeps up.
BEHIND_SECONDS = 10
GROWTH = 1.10
MEASURES = ("memory", "descriptors", "threads", "state")


class Job:
    """A job that reads a topic until it is stopped, and its measurements."""

    def __init__(self, broker, mariadb, topic):
        self.mariadb, self.topic = mariadb, topic
        (port,) = free_ports(1)
        self.metrics = f"http://127.0.0.1:{port}/metrics"
        self.out = tempfile.TemporaryDirectory(prefix="out-", dir=truckflow.SCRATCH)
        settings = [
            'csv.views=["dead_letters"]',
            'tables.views=["distance_correlation","engine_speed_correlation","window_averages","dead_letters"]',
            "parameters.correlation_tables=latest",
            "parameters.window_retention=10m",
            "parameters.join_retention=10s",
            f"job={topic}",
        ]
        command = [truckflow.binary(), "run", "--brokers", broker.address, "--topic", topic, "--out", self.out.name]
        command += ["--workers", "2", "--listen", f"127.0.0.1:{port}", "--database"]
        command += [f"mysql://root@127.0.0.1:{mariadb.port}/soak"]
        command += [flag for setting in settings for flag in ("--set", setting)]
        self.log = tempfile.TemporaryFile("w+")
        self.process = subprocess.Popen(command, stderr=self.log, stdout=self.log)

    def look(self):
        """Its memory, threads, descriptors and state, how much it has read, and its lag."""
        if self.process.poll() is not None:
            self.log.seek(0)
            raise Failed(f"the job ended: {self.log.read().strip()[-500:]}")
        process = Path("/proc") / str(self.process.pid)
        status = dict(re.findall(r"^(\w+):\s+(\d+)", (process / "status").read_text(), re.M))
        state = f"SELECT COALESCE(SUM(LENGTH(bytes)), 0) FROM soak.truckflow_state WHERE job = '{self.topic}'"
        try:
            state = int(self.mariadb.query(state))
        except Failed:
            state = 0  # the table does not exist yet
        found = {"memory": int(status["VmRSS"]) * 1024, "peak": int(status["VmHWM"]) * 1024}
        found |= {"threads": int(status["Threads"]), "descriptors": len(list((process / "fd").iterdir()))}
        return found | {"state": state, "lag": self.sum("consumer_lag"), "read": self.sum("offsets_consumed_total")}

    def sum(self, metric):
        with urllib.request.urlopen(self.metrics, timeout=TIMEOUT) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.split()[-1]) for line in lines if line.startswith(f"truckflow_{metric}{{"))

    def ready(self):
        due = time.monotonic() + TIMEOUT
        while time.monotonic() < due:
            with contextlib.suppress(OSError):
                self.look()
                return self
            time.sleep(0.2)
        raise Failed(f"{self.metrics} does not answer")

    def stop(self):
        self.process.terminate()
        try:
            status = self.process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise Failed("the job did not end after SIGTERM") from None
        self.out.cleanup()
        if status != 0:
            raise Failed(f"the job ended with status {status} after SIGTERM")


def simulate(broker, topic, trucks, **flags):
    command = [truckflow.binary(), "simulate", "--to", "topic", "--topic", topic, "--brokers", broker.address]
    command += ["--trucks", str(trucks), "--format", "json"]
    command += [flag for name, value in flags.items() for flag in (f"--{name}", str(value))]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def soak(broker, mariadb, args):
    """Samples of a job while readings stream in."""
    broker.create_topic("soak", PARTITIONS, {"retention.bytes": 4 * SEGMENT, "segment.bytes": SEGMENT})
    job = Job(broker, mariadb, "soak").ready()
    trucks = simulate(broker, "soak", args.trucks, rate=args.rate, records=10**12)
    samples, began = [], time.monotonic()
    try:
        while (at := time.monotonic() - began) < args.minutes * 60:
            samples.append({"seconds": at, **job.look()})
            if len(samples) % 10 == 0:
                print(describe(samples[-1]), file=sys.stderr, flush=True)
            time.sleep(EVERY)
    finally:
        trucks.terminate()
        trucks.wait(TIMEOUT)
    due = time.monotonic() + TIMEOUT
    while (last := job.look())["lag"] > 0 and time.monotonic() < due:
        time.sleep(1)
    job.stop()
    if last["lag"] > 0:
        raise Failed(f"{last['lag']:.0f} messages were not read within {TIMEOUT} s after the last was sent")
    return samples


def backlog(broker, mariadb, args):
    """Measurements of a job that starts with a backlog."""
    broker.create_topic("backlog", PARTITIONS, {"segment.bytes": SEGMENT})
    records = int(args.backlog_minutes * 60 * args.backlog_rate)
    status = simulate(broker, "backlog", args.trucks, records=records, seed=1).wait(TIMEOUT * 10)
    if status != 0:
        raise Failed("the simulator did not send the backlog")
    began = time.monotonic()
    job = Job(broker, mariadb, "backlog").ready()
    while (found := job.look())["read"] < records:
        if time.monotonic() - began > TIMEOUT * 10:
            raise Failed(f"of {records} messages {found['read']:.0f} were read")
        time.sleep(1)
    seconds = time.monotonic() - began
    job.stop()
    return {"records": records, "seconds": seconds, "peak": found["peak"], "state": found["state"]}


def describe(sample):
    mib = lambda value: f"{value / (1 << 20):.1f} MiB"
    return (
        f"{sample['seconds'] / 60:5.1f} min: read {sample['read']:,.0f}, lag {sample['lag']:,.0f}, "
        f"memory {mib(sample['memory'])}, state {mib(sample['state'])}, "
        f"{sample['descriptors']} descriptors, {sample['threads']} threads"
    )


def quarters(samples, name):
    size = len(samples) // 4
    second, last = samples[size : 2 * size], samples[-size:]
    return mean(sample[name] for sample in second), mean(sample[name] for sample in last)


def faults(samples, rate):
    """The measurements that are not flat, and a lag that grew."""
    found = []
    for name in MEASURES:
        before, after = quarters(samples, name)
        if after > before * GROWTH:
            found.append(f"{name} grew from {before:,.0f} to {after:,.0f}")
    _, lag = quarters(samples, "lag")
    if lag > BEHIND_SECONDS * rate:
        found.append(f"it fell {lag:,.0f} messages behind")
    return found


def report(samples, found, burst, args):
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True)
    mib = lambda value: f"{value / (1 << 20):.1f}"
    lines = [
        "# Soak test",
        "",
        f"`benches/soak/run --minutes {args.minutes:g} --rate {args.rate} --trucks {args.trucks}`, commit "
        f"{commit.stdout.strip()}, {time.strftime('%Y-%m-%d')}, {os.cpu_count()} cores shared with Kafka, MariaDB and the "
        "simulator. [benches/soak](../benches/soak/README.md) describes the measurements.",
        "",
        "| minute | messages read | lag | memory, MiB | state, MiB | descriptors | threads |",
        "|---|---|---|---|---|---|---|",
    ]
    step = max(len(samples) // 12, 1)
    for sample in [*samples[::step], samples[-1]]:
        lines.append(
            f"| {sample['seconds'] / 60:.0f} | {sample['read']:,.0f} | {sample['lag']:,.0f} | {mib(sample['memory'])} "
            f"| {mib(sample['state'])} | {sample['descriptors']} | {sample['threads']} |"
        )
    verdict = "; ".join(found) if found else "flat: every measurement's last quarter is at most 10 % above the second"
    lines += ["", f"Verdict: {verdict}.", ""]
    if burst:
        lines += [
            f"A backlog of {burst['records']:,} messages was read in {burst['seconds']:.0f} s "
            f"({burst['records'] / burst['seconds']:,.0f} per second), with a peak memory of {mib(burst['peak'])} MiB; "
            f"the peak of the soak was {mib(max(sample['peak'] for sample in samples))} MiB.",
            "",
        ]
    (args.to / "soak.md").write_text("\n".join(lines))
    (args.to / "soak.json").write_text(json.dumps({"samples": samples, "backlog": burst}) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=40_000, help="readings a second")
    parser.add_argument("--trucks", type=int, default=100)
    parser.add_argument("--backlog-minutes", type=float, default=60, help="0: no backlog")
    parser.add_argument("--backlog-rate", type=int, default=4_000, help="readings a second of the backlog")
    parser.add_argument("--to", type=Path, default=truckflow.REPOSITORY / "docs")
    args = parser.parse_args()
    with Broker() as broker, temporary_mariadb() as mariadb:
        mariadb.query("CREATE DATABASE soak")
        samples = soak(broker, mariadb, args)
        burst = backlog(broker, mariadb, args) if args.backlog_minutes else None
    found = faults(samples, args.rate)
    report(samples, found, burst, args)
    print(*(found or ["flat"]), sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failed:
        sys.exit(f"soak: {failed}")
