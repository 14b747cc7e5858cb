"""A Kafka broker on the loopback interface, from the jars that `tools/install-test-servers` fetches."""

import shutil
import subprocess
import tempfile
import time
from pathlib import Path

from kafka import KafkaAdminClient
from kafka.admin import NewTopic
from kafka.errors import KafkaError

from measure import Failed
from ports import free_ports
from truckflow import REPOSITORY, SCRATCH

JARS = REPOSITORY / ".test" / "kafka-libs"
# Any 16 bytes in base64 will do.
CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"
TIMEOUT = 60


class Broker:
    """One KRaft node, as the tests have it (tests/all/support/kafka.rs), but with all of Java's compilers."""

    def __enter__(self):
        if not JARS.is_dir():
            raise Failed(f"{JARS} has no Kafka jars; run tools/install-test-servers")
        SCRATCH.mkdir(parents=True, exist_ok=True)
        self.folder = Path(tempfile.mkdtemp(prefix="kafka-", dir=SCRATCH))
        self.log, self.process = open(self.folder / "log", "w+"), None
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self):
        port, controller = free_ports(2)
        self.address = f"127.0.0.1:{port}"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{controller}",
            "listeners": f"PLAINTEXT://{self.address},CONTROLLER://127.0.0.1:{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.address}",
            "controller.listener.names": "CONTROLLER",
            "log.dirs": self.folder / "data",
            "auto.create.topics.enable": "false",
            "offsets.topic.replication.factor": 1,
            "offsets.topic.num.partitions": 1,
            "log.retention.check.interval.ms": 10000,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
        }
        properties = self.folder / "server.properties"
        properties.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
        java = ["java", "-Xmx1g", "-cp", f"{JARS}/*"]
        output = {"stdout": self.log, "stderr": self.log, "cwd": self.folder}
        storage = [*java, "kafka.tools.StorageTool", "format", "--cluster-id", CLUSTER]
        try:
            subprocess.run([*storage, "--config", str(properties)], **output, check=True, timeout=TIMEOUT)
            self.process = subprocess.Popen([*java, "kafka.Kafka", str(properties)], **output)
        except (OSError, subprocess.SubprocessError) as error:
            raise Failed(f"Kafka does not start: {error}") from None
        self.admin = self.connect()

    def connect(self):
        due = time.monotonic() + TIMEOUT
        while time.monotonic() < due and self.process.poll() is None:
            try:
                return KafkaAdminClient(bootstrap_servers=self.address)
            except (KafkaError, OSError):
                time.sleep(0.2)
        self.log.seek(0)
        last = " / ".join(self.log.read().splitlines()[-3:])
        raise Failed(f"Kafka does not answer on {self.address}; its log ends: {last}")

    def create_topic(self, name, partitions, settings=None):
        topic = NewTopic(name=name, num_partitions=partitions, replication_factor=1, topic_configs=settings or {})
        try:
            self.admin.create_topics([topic], timeout_ms=TIMEOUT * 1000)
        except KafkaError as error:
            raise Failed(f"Kafka does not create the topic {name}: {error}") from None

    def __exit__(self, *_):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder)
