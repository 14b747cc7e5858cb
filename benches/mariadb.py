"""A MariaDB server on the loopback interface, with default settings and a new folder for its data."""

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from broker import free_ports
from measure import Failed
from truckflow import SCRATCH

TIMEOUT = 120


class Mariadb:
    """A server that is stopped, and whose folder is removed, at the end of a `with`."""

    def __enter__(self):
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="mariadb-", dir=SCRATCH))
        self.log, self.process = open(self.folder / "log", "w+"), None
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        (self.port,) = free_ports(1)
        user = ["--user=root"] if os.geteuid() == 0 else []
        data = f"--datadir={self.folder / 'data'}"
        output = {"stdout": self.log, "stderr": self.log}
        output["env"] = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
        install = ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
        listen = ["--bind-address=127.0.0.1", f"--port={self.port}", f"--socket={self.folder / 'socket'}"]
        try:
            subprocess.run([*install, *user, data], **output, check=True, timeout=TIMEOUT)
            self.process = subprocess.Popen(["mariadbd", "--no-defaults", *user, data, *listen], **output)
        except (OSError, subprocess.SubprocessError) as error:
            raise Failed(f"MariaDB does not start: {error}; {self.last_lines()}") from None
        due = time.monotonic() + TIMEOUT
        while time.monotonic() < due and self.process.poll() is None:
            with contextlib.suppress(Failed):
                self.query("SELECT 1")
                return
            time.sleep(0.5)
        raise Failed(f"MariaDB does not answer on port {self.port}; {self.last_lines()}")

    def last_lines(self):
        self.log.seek(0)
        return "its log ends: " + " / ".join(self.log.read().splitlines()[-3:])

    def query(self, sql):
        client = ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{self.port}", "-uroot", "-N", "-B", "-e", sql]
        done = subprocess.run(client, capture_output=True, text=True, timeout=TIMEOUT)
        if done.returncode != 0:
            raise Failed(f"MariaDB: {done.stderr.strip()}")
        return done.stdout.strip()

    def __exit__(self, *_):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)
