"""Runs the cases: truckflow and each peer alternately, their answers compared, and one table of how much faster truckflow is.

README.md describes the cases, the measurements and the rules.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import case_correlations
import case_kafka
import case_queries
import truckflow
from measure import Failed

CASES = [*case_correlations.CASES, *case_queries.CASES, *case_kafka.CASES]


class Side:
    """The runs of one side."""

    def __init__(self):
        self.wall, self.rate, self.cpu, self.memory = [], [], [], []

    def add(self, outcome):
        self.wall.append(outcome.measured.wall)
        self.rate.append(outcome.rate)
        self.cpu.append(outcome.measured.cpu)
        self.memory.append(outcome.measured.peak_memory)

    def as_json(self):
        spread = lambda of: {"median": median(of), "min": min(of), "max": max(of)}
        return {
            "wall_seconds": spread(self.wall),
            "records_per_second_without_startup": spread(self.rate),
            "cpu_seconds": spread(self.cpu),
            "peak_memory_bytes": max(self.memory),
        }


def compare(case, peer, runs):
    """Runs both alternately; returns the results for the table and the JSON file."""
    ours, theirs = Side(), Side()
    for _ in range(runs):
        outcome = case.ours()
        ours.add(outcome)
        other = case.theirs(peer)
        theirs.add(other)
        case.compare(outcome.answer, other.answer)
    found = {
        "truckflow": ours.as_json(),
        "peer": theirs.as_json(),
        "ratio": median(theirs.wall) / median(ours.wall),
        "ratio_without_startup": median(ours.rate) / median(theirs.rate),
        "ratio_of_cpu": median(theirs.cpu) / median(ours.cpu),
        "goal": peer.goal,
    }
    return found | {"met": all(found[ratio] >= peer.goal for ratio in case.judged)}


HEAD = """
| case | peer | truckflow, s | peer, s | ratio | without start-up: truckflow, records/s | peer | ratio | ratio of CPU | \
peak memory: truckflow | peer | goal | result |
|---|---|---|---|---|---|---|---|---|---|---|---|---|"""


def row(case, peer, found):
    """A row of the table, with the fastest and slowest run of each side. A ratio that the goal is for is bold if it meets it."""
    sides = found["truckflow"], found["peer"]

    def spread(side, name, digits):
        low, middle, high = (f"{side[name][which]:,.{digits}f}" for which in ("min", "median", "max"))
        return middle if low == high else f"{middle} ({low} to {high})"

    def ratio(which):
        bold = which in case.judged and found[which] >= peer.goal
        return f"**{found[which]:.1f}**" if bold else f"{found[which]:.1f}"

    cells = [case.title, peer.title]
    cells += [*(spread(side, "wall_seconds", 2) for side in sides), ratio("ratio")]
    cells += [*(spread(side, "records_per_second_without_startup", 0) for side in sides), ratio("ratio_without_startup")]
    cells += [f"{found['ratio_of_cpu']:.1f}", *(f"{side['peak_memory_bytes'] / 2**20:,.0f} MiB" for side in sides)]
    cells += [f"{peer.goal:g}", "met" if found["met"] else "missed"]
    return f"| {' | '.join(cells)} |"


def failed(case, peer):
    return f"| {case.title} | {peer.title} |{'  |' * 9} {peer.goal:g} | no result |"


def run(case, peers, records, runs, failures):
    """The results of a case by peer. A peer that fails is noted with the reason, and the others still run."""
    results = {}
    try:
        with case.open(records):
            for peer in peers:
                try:
                    results[peer.title] = compare(case, peer, runs)
                    print(row(case, peer, results[peer.title]), flush=True)
                except Exception as failure:
                    failures[f"{case.title}, {peer.title}"] = reason(failure)
                    print(failed(case, peer), flush=True)
    except Exception as failure:
        failures[case.title] = reason(failure)
    return results


def reason(failure):
    return str(failure) if isinstance(failure, Failed) else repr(failure)


def chosen(parser, option, given, known):
    names = set(filter(None, given.split(","))) or set(known)
    if not names <= set(known):
        parser.error(f"{option}: unknown name {', '.join(names - set(known))}; expected one of {', '.join(known)}")
    return names


def terminated(*_):
    """Leaves the blocks that stop servers and remove folders, which a second signal must not interrupt."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit("run: it was terminated")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], prog="run")
    parser.add_argument("--case", default="", help="names of cases, separated by commas; default all")
    parser.add_argument("--only", default="", help="names of peers, separated by commas: duckdb,bytewax; default all")
    parser.add_argument("--records", type=int, default=2_000_000, help="readings in the input; default 2,000,000")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side, alternating; default 3")
    parser.add_argument("--json", type=Path, help="write all measurements to this file")
    arguments = parser.parse_args()
    cases = chosen(parser, "--case", arguments.case, [case.name for case in CASES])
    only = chosen(parser, "--only", arguments.only, list(dict.fromkeys(peer.name for case in CASES for peer in case.peers)))

    signal.signal(signal.SIGTERM, terminated)
    truckflow.binary()
    load = os.getloadavg()[0]
    if load > 0.5:
        print(f"run: the machine is busy (load {load:.1f}): the ratios are only approximate", file=sys.stderr)
    results, failures = {}, {}
    print(HEAD.strip(), flush=True)
    for case in (case for case in CASES if case.name in cases):
        peers = [peer for peer in case.peers if peer.name in only]
        if peers:
            results[case.name] = run(case, peers, arguments.records, arguments.runs, failures)
    for title, reason in failures.items():
        print(f"\n{title}: no result, because {reason}")
    if arguments.json:
        found = {"records": arguments.records, "runs": arguments.runs, "load_at_start": load, "cpus": os.cpu_count()}
        found |= {"results": results, "failures": failures}
        arguments.json.write_text(json.dumps(found, indent=1) + "\n")
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failed as failure:
        sys.exit(f"run: {failure}")
