"""Runs a command and measures it, with all processes that it starts."""

import os
import signal
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
UNTIL_EVERY = 0.1
# The memory of the command alone is one small file.
SAMPLE_EVERY = 0.02
# Its children are found by reading all of /proc, so this is rare enough not to affect the measurement.
SAMPLES_PER_LOOK = 10


class Failed(Exception):
    """A command that did not do what it should, in words."""


@dataclass
class Measured:
    """What a command wrote, and what it cost in seconds and bytes."""

    stdout: str
    stderr: str
    wall: float
    cpu: float
    # The sum of what each process had at its peak.
    peak_memory: int


def measure(command, timeout=600, stdin=subprocess.DEVNULL, until=None):
    """Runs `command` to its end, or until `until`, which is called ten times a second, returns true.

    What it leaves running is killed.
    """
    name = Path(command[0]).name
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, start_new_session=True)
        tree = Tree(process.pid, began + timeout)
        try:
            stopped = until is not None and not wait_until(process.pid, until)
            wall = time.perf_counter() - began
            if stopped:
                tree.look()
                tree.kill()
            _, status, usage = os.wait4(process.pid, 0)
            wall = wall if stopped else time.perf_counter() - began
            process.returncode = 0 if stopped else os.waitstatus_to_exitcode(status)
        finally:
            tree.end()
        stdout.seek(0)
        stderr.seek(0)
        log = stderr.read()
        if tree.killed:
            raise Failed(f"{name} did not end within {timeout} s: {reason(log)}")
        if process.returncode != 0:
            raise Failed(f"{name} ended with status {process.returncode}: {reason(log)}")
        # A process that its parent did not wait for is only in what was looked at.
        cpu = max(usage.ru_utime + usage.ru_stime, sum(tree.cpu.values()))
        # Not `ru_maxrss`, which begins with the memory of this script.
        return Measured(stdout.read(), log, wall, cpu, sum(tree.memory.values()))


def reason(log):
    """The last lines, or the last errors of a server that continues after one."""
    lines = log.splitlines()
    return " / ".join(([line for line in lines if " ERROR " in line] or lines)[-3:])


def wait_until(pid, until):
    """True when the process has ended, and false when `until` is true first."""
    while os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
        if until():
            return False
        time.sleep(UNTIL_EVERY)
    return True


class Tree:
    """The processes of a session, looked at now and then, and killed at a deadline."""

    def __init__(self, session, deadline):
        self.session, self.deadline, self.killed = session, deadline, False
        self.cpu, self.memory = {}, {}
        self.ended = threading.Event()
        self.thread = threading.Thread(target=self.watch)
        self.thread.start()

    def watch(self):
        sample = 0
        while not self.ended.wait(SAMPLE_EVERY):
            sample += 1
            if sample % SAMPLES_PER_LOOK == 0:
                self.look()
            else:
                self.remember(Path("/proc", str(self.session)))
            if time.perf_counter() > self.deadline:
                self.killed = True
                self.kill()

    def look(self):
        for process in Path("/proc").glob("[0-9]*"):
            try:
                # Behind the name in parentheses: state, parent, group, session, …
                fields = (process / "stat").read_text().rpartition(")")[2].split()
                if int(fields[3]) == self.session:
                    self.cpu[process.name] = (int(fields[11]) + int(fields[12])) / TICKS
                    self.remember(process)
            except OSError:
                pass  # It has just ended.

    def remember(self, process):
        """Notes the peak memory of a process; nothing if it has ended."""
        try:
            peak = peak_memory(process)
        except OSError:
            return
        self.memory[process.name] = max(peak, self.memory.get(process.name, 0))

    def kill(self):
        try:
            os.killpg(self.session, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def end(self):
        self.ended.set()
        self.thread.join()
        self.kill()


def peak_memory(process):
    for line in (process / "status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0  # It has ended, and nobody has waited for it yet.
