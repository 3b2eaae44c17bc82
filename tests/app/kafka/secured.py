"""An Apache Kafka with TLS and logins, of a test session's own.

Three listeners: `sasl` (SASL_SSL: PLAIN, SCRAM-SHA-512, OAUTHBEARER with unsecured tokens), `mtls`
(SSL, a client certificate is asked for) and `plain` (PLAINTEXT). Its policy refuses three settings
of topics whose name begins with `serverless.`, as MSK Serverless does.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from app.local.children import spawn, tail, terminate
from app.local.embedded import free_port
from app.process.errors import Unavailable
from app.process.probes import probe_kafka, until
from app.settings import KafkaSettings
from tests.certificates import Authority
from tests.servers import ROOT, services_script

HOST = "127.0.0.1"
USER, PASSWORD = "masterx", "right"
REFUSED = ("min.compaction.lag.ms", "segment.ms", "delete.retention.ms")

_POLICY = """
import java.util.Map;
import org.apache.kafka.common.errors.PolicyViolationException;
import org.apache.kafka.server.policy.CreateTopicPolicy;
public class Serverless implements CreateTopicPolicy {
  public void configure(Map<String, ?> configs) {}
  public void close() {}
  public void validate(RequestMetadata request) {
    if (!request.topic().startsWith("serverless.")) return;
    for (String key : new String[] {%s})
      if (request.configs().containsKey(key))
        throw new PolicyViolationException("Config " + key + " is not supported");
  }
}
"""


class SecuredKafka:
    """Started once; `settings` says how a client reaches a listener."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder / "certificates")
        self.broker = self.authority.issue("broker", HOST)
        self.ports = {name: free_port(HOST) for name in ("sasl", "mtls", "plain", "controller")}
        self._folder = folder
        self._log = folder / "kafka.log"
        self._process: subprocess.Popen[bytes] | None = None

    def settings(self, listener: str = "sasl", host: str = HOST, **changes) -> KafkaSettings:
        """Of a client that logs in with SCRAM, unless changed."""
        base = {
            "bootstrap": f"{host}:{self.ports[listener]}",
            "partitions": 4,
            "request_timeout": 10.0,
        }
        if listener != "plain":
            base |= {"security_protocol": "SSL", "ca_file": self.authority.ca_file}
        if listener == "sasl":
            base |= {
                "security_protocol": "SASL_SSL",
                "sasl_mechanism": "SCRAM-SHA-512",
                "sasl_username": USER,
                "sasl_password": PASSWORD,
            }
        return KafkaSettings(**(base | changes))

    async def start(self) -> None:
        """Start it and wait until it takes a client. Skips where there is no Kafka to start."""
        libs = services_script().FOLDER / "kafka" / "libs"
        java, javac = shutil.which("java"), shutil.which("javac")
        if not (libs / ".complete").exists() or java is None or javac is None:
            pytest.skip("no Apache Kafka here: run `make services`; its policy needs a JDK")
        self._folder.mkdir(parents=True, exist_ok=True)
        source = self._folder / "Serverless.java"
        source.write_text(_POLICY % ", ".join(f'"{key}"' for key in REFUSED))
        subprocess.run([javac, "-cp", f"{libs}/*", str(source)], check=True, cwd=self._folder)
        config = self._folder / "server.properties"
        config.write_text(self._config())
        log4j = ROOT / "deploy" / "services" / "kafka" / "log4j2.properties"
        run = [java, "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-cp", f"{libs}/*:{self._folder}",
               f"-Dlog4j2.configurationFile={log4j}"]  # fmt: skip
        scram = f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]"
        subprocess.run(
            [*run, "kafka.tools.StorageTool", "format", "-t", "4L6g3nShT-eMCtK--X86sw",
             "-c", str(config), "--add-scram", scram],
            check=True, capture_output=True,
        )  # fmt: skip
        command = [*run, "kafka.Kafka", str(config)]
        process = self._process = spawn(command, self._log, cwd=self._folder)
        plain = self.settings("plain")
        try:
            await until(lambda: probe_kafka(plain), 60, alive=lambda: process.poll() is None)
        except Unavailable as error:
            raise AssertionError(tail(self._log)) from error

    async def stop(self) -> None:
        if self._process is not None:
            await terminate(self._process, 20)

    def _config(self) -> str:
        listeners = ",".join(f"{name.upper()}://{HOST}:{at}" for name, at in self.ports.items())
        advertised = listeners.rpartition(",")[0]
        login = "org.apache.kafka.common.security"
        sasl = "listener.name.sasl"
        return f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@{HOST}:{self.ports["controller"]}
listeners={listeners}
advertised.listeners={advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAIN
listener.security.protocol.map=SASL:SASL_SSL,MTLS:SSL,PLAIN:PLAINTEXT,CONTROLLER:PLAINTEXT
ssl.keystore.type=PEM
ssl.keystore.location={self.broker.both}
ssl.truststore.type=PEM
ssl.truststore.location={self.authority.ca_file}
listener.name.mtls.ssl.client.auth=required
{sasl}.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-512,OAUTHBEARER
{sasl}.plain.sasl.jaas.config={login}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
{sasl}.scram-sha-512.sasl.jaas.config={login}.scram.ScramLoginModule required;
{sasl}.oauthbearer.sasl.jaas.config={login}.oauthbearer.OAuthBearerLoginModule required;
create.topic.policy.class.name=Serverless
log.dirs={self._folder / "data"}
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
group.initial.rebalance.delay.ms=0
"""


def token(lifetime: float = 3_600, subject: str = USER) -> str:
    """An unsecured JWT (RFC 7519, section 6), which Kafka takes for development."""
    now = time.time()
    head, claims = {"alg": "none"}, {"sub": subject, "iat": now - 7_200, "exp": now + lifetime}
    parts = [base64.urlsafe_b64encode(json.dumps(one).encode()) for one in (head, claims)]
    return ".".join(part.rstrip(b"=").decode() for part in parts) + "."
