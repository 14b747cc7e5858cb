"""MariaDB and MySQL on the loopback interface: own ports, new folders, default settings except `local_infile`."""

import contextlib
import subprocess
import tempfile
import time
from pathlib import Path

from measure import Failed
from ports import free_ports
from truckflow import SCRATCH

START_SECONDS = 120
RUN_SECONDS = 1800


def run(command, **options):
    """The standard output of a command."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=RUN_SECONDS, **options)
    if done.returncode != 0:
        raise Failed(f"{command[0]} failed: {(done.stderr or done.stdout).strip()[-2000:]}")
    return done.stdout


class Server:
    """A process that is stopped at the end of a `with`."""

    def __init__(self, command, log, folder):
        self.log = log
        with open(log, "wb") as out:
            self.process = subprocess.Popen(command, cwd=folder, stdout=out, stderr=out)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def wait_until(self, answers):
        end = time.monotonic() + START_SECONDS
        while not answers():
            if self.process.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise Failed(f"a server does not answer; {self.log} ends:\n{self.log.read_text()[-2000:]}")
            time.sleep(0.2)


class Database:
    """A server of MySQL's kind, and its client."""

    def __init__(self, name, server, port):
        self.name, self.server, self.port = name, server, port
        self.client = ["mariadb", "--no-defaults", "-h127.0.0.1", f"-P{port}", "-uroot", "--skip-ssl", "--local-infile=1"]

    def query(self, sql, database=""):
        return run([*self.client, "-N", "-B", "-e", sql, database]).strip()

    def answers(self):
        return subprocess.run([*self.client, "-e", "SELECT 1"], capture_output=True, timeout=30).returncode == 0

    def empty(self, name):
        """Creates an empty database; an old one is dropped. Returns its URL."""
        self.query(f"DROP DATABASE IF EXISTS {name}; CREATE DATABASE {name}")
        return f"mysql://root@127.0.0.1:{self.port}/{name}?ssl-mode=DISABLED"


def mariadb(folder):
    """MariaDB, with its data in a new folder."""
    folder.mkdir()
    data = folder / "data"
    try:
        run(
            ["mariadb-install-db", "--no-defaults", "--auth-root-authentication-method=normal", "--skip-test-db"]
            + ["--skip-name-resolve", "--user=root", f"--datadir={data}"]
        )
    except FileNotFoundError as missing:
        raise Failed(f"{missing.filename} is not installed; run tools/install-test-servers") from None
    [port] = free_ports(1)
    command = ["mariadbd", "--no-defaults", "--bind-address=127.0.0.1", "--skip-name-resolve", "--user=root"]
    command += [f"--port={port}", f"--datadir={data}", "--socket=s.sock", f"--tmpdir={data}", "--local-infile=1"]
    database = Database("MariaDB", Server(command, folder / "log", folder), port)
    database.server.wait_until(database.answers)
    return database


@contextlib.contextmanager
def temporary_mariadb():
    """MariaDB that is stopped, and whose folder is removed, at the end of a `with`."""
    SCRATCH.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mariadb-", dir=SCRATCH) as folder:
        database = mariadb(Path(folder) / "server")
        with database.server:
            yield database


def mysql(folder, root):
    """MySQL from the root folder of a Debian, with its data in a new folder."""
    folder.mkdir()
    data, libraries = folder / "data", f"{root}/usr/lib/x86_64-linux-gnu:{root}/usr/lib/mysql/private"
    loader = [f"{root}/lib64/ld-linux-x86-64.so.2", "--library-path", libraries]
    command = [*loader, f"{root}/usr/sbin/mysqld", "--no-defaults", "--user=root", f"--basedir={root}/usr"]
    command += [f"--datadir={data}", f"--lc-messages-dir={root}/usr/share/mysql", "--secure-file-priv=NULL"]
    run([*command, "--initialize-insecure"])
    [port] = free_ports(1)
    command += ["--bind-address=127.0.0.1", f"--port={port}", "--mysqlx=OFF", f"--socket={folder}/s.sock"]
    command += [f"--pid-file={folder}/pid", "--local-infile=1"]
    database = Database("MySQL", Server(command, folder / "log", folder), port)
    database.server.wait_until(database.answers)
    return database
