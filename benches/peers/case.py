"""What the cases have in common: the peers, and what is measured of a run."""

import json
from dataclasses import dataclass

import truckflow
from measure import Failed, Measured, measure

HERE = truckflow.REPOSITORY / "benches" / "peers"
PEERS = truckflow.REPOSITORY / ".test" / "peers"


@dataclass
class Outcome:
    """One run of one side."""

    measured: Measured
    # Records a second without the start-up; README.md has what that is in each case.
    rate: float
    # What must be the same on both sides.
    answer: object


@dataclass(frozen=True)
class Peer:
    """An engine: its requirements and script are named after it; its goal is a ratio."""

    title: str
    name: str
    goal: float
    arguments: tuple = ()

    def command(self, *arguments):
        """The command of its script; Python is that of its own environment, if it has one."""
        for wanted in HERE.glob(f"requirements/{self.name}.*"):
            installed = PEERS / self.name / wanted.name
            if not installed.exists() or installed.read_bytes() != wanted.read_bytes():
                raise Failed(f"it is not installed; run `benches/peers/install {self.name}`")
        python = PEERS / self.name / "bin" / "python"
        python = str(python) if python.exists() else "python3"
        return [python, str(HERE / f"peer_{self.name}.py"), *map(str, arguments), *self.arguments]

    def run(self, records, *arguments):
        """A run over a file, whose script reports the seconds without start-up."""
        measured = measure(self.command(*arguments))
        said = json.loads(measured.stdout.splitlines()[-1])
        return Outcome(measured, records / said["seconds"], said["answer"])
