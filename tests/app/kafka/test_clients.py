"""Every client of the factory against an Apache Kafka with TLS and logins."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from pathlib import Path

import pytest
from aiokafka.errors import KafkaConnectionError

from agents.runtime.topics import CHAT, INTERACTIONS, USER_STATE
from app.kafka import clients
from app.kafka.admin import create_topics, list_topics
from app.kafka.producer import Producer
from app.kafka.settings import KafkaSettings
from app.kafka.topics import physical
from app.local.doctor import examine
from app.local.embedded import free_port
from app.local.environment import child_environment
from app.process.errors import Misconfigured, Rejected
from app.process.exits import Exit
from app.process.probes import probe_kafka
from app.process.tls import UnusableFile
from app.settings import Settings
from tests.agents.records import message
from tests.app.kafka.secured import HOST, SecuredKafka, token
from tests.certificates import Authority
from tests.crash.fleet import fast
from tests.servers import ROOT
from tests.topics import eventually, produce, read_all
from tests.workers import WorkerProcess

real = [pytest.mark.services, pytest.mark.slow]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(token())
    return path


@pytest.fixture
def ways(kafka: SecuredKafka, token_file: Path) -> dict[str, KafkaSettings]:
    """Each way to be let in."""
    issued = kafka.authority.issue("client")
    locked = kafka.authority.issue("locked", password="of the key")
    nobody = {"sasl_username": None, "sasl_password": None}
    return {
        "scram": kafka.settings(),
        "plain": kafka.settings(sasl_mechanism="PLAIN"),
        "oauth": kafka.settings(
            sasl_mechanism="OAUTHBEARER", oauth_token_file=token_file, **nobody
        ),
        "mtls": kafka.settings("mtls", certificate_file=issued.certificate, key_file=issued.key),
        "mtls, one file": kafka.settings("mtls", certificate_file=issued.both),
        "mtls, key with password": kafka.settings(
            "mtls", certificate_file=locked.both, key_password="of the key"
        ),
    }


def of(kafka: KafkaSettings, prefix: str | None = None) -> Settings:
    name = prefix or f"t{uuid.uuid4().hex[:8]}."
    return Settings(kafka=kafka.model_copy(update={"topic_prefix": name}))


class TestAgainstKafka:
    pytestmark = real

    async def test_each_way_in_creates_topics_produces_and_consumes(self, ways) -> None:
        for name, way in ways.items():
            settings = of(way)
            assert all(status.ready for status in await create_topics(settings)), name
            async with Producer(settings, client_id="test") as producer:
                await (await producer.send(CHAT, key=b"ada", value=name.encode()))
            topic = physical(settings, CHAT)
            consumer = clients.consumer(way, topic, auto_offset_reset="earliest")
            await clients.start(way, consumer)
            try:
                record = await asyncio.wait_for(consumer.getone(), 20)
            finally:
                await consumer.stop()
            assert record.value == name.encode()
            await probe_kafka(way)

    async def test_a_token_is_read_anew_for_each_connection(
        self, kafka: SecuredKafka, ways, token_file: Path
    ) -> None:
        way = ways["oauth"]
        async with clients.admin(way) as client:
            await client.describe_cluster()
            token_file.write_text(token(lifetime=-60))
            with pytest.raises(Rejected, match=r"OAUTH_TOKEN_FILE.*expired"):
                await probe_kafka(way)
            token_file.write_text(token())
            await probe_kafka(way)

    async def test_a_broker_that_is_away_is_no_refusal(self, kafka: SecuredKafka) -> None:
        away = kafka.settings().model_copy(update={"bootstrap": f"{HOST}:{free_port(HOST)}"})
        await clients.check(away, 2)
        with pytest.raises(KafkaConnectionError):
            await clients.start(away, clients.consumer(away))

    async def test_one_of_several_brokers_suffices(self, kafka: SecuredKafka) -> None:
        way = kafka.settings()
        both = way.model_copy(
            update={"bootstrap": f"localhost:{kafka.ports['sasl']},{way.bootstrap}"}
        )
        await probe_kafka(both)


def wrong_ways(kafka: SecuredKafka, folder: Path) -> dict[str, tuple[str, KafkaSettings]]:
    """What is wrong, the setting to put right, and the settings."""
    stranger = Authority(folder, "stranger")
    expired, nonsense, gone = folder / "expired", folder / "nonsense", folder / "gone"
    expired.write_text(token(lifetime=-60))
    nonsense.write_text("no token that it knows")
    oauth = {"sasl_mechanism": "OAUTHBEARER", "sasl_username": None, "sasl_password": None}
    return {
        "authority": ("CA_FILE", kafka.settings(ca_file=stranger.ca_file)),
        "no authority": ("CA_FILE", kafka.settings(ca_file=None)),
        "host": ("BOOTSTRAP", kafka.settings(host="localhost")),
        "password": ("SASL_PASSWORD", kafka.settings(sasl_password="wrong")),
        "PLAIN's password": (
            "SASL_PASSWORD",
            kafka.settings(sasl_mechanism="PLAIN", sasl_password="wrong"),
        ),
        "user": ("SASL_PASSWORD", kafka.settings(sasl_username="nobody")),
        "mechanism": ("SASL_MECHANISM", kafka.settings(sasl_mechanism="SCRAM-SHA-256")),
        "expired token": ("OAUTH_TOKEN_FILE", kafka.settings(oauth_token_file=expired, **oauth)),
        "no token": ("OAUTH_TOKEN_FILE", kafka.settings(oauth_token_file=nonsense, **oauth)),
        "no token file": ("OAUTH_TOKEN_FILE", kafka.settings(oauth_token_file=gone, **oauth)),
        "no certificate": ("CERTIFICATE_FILE", kafka.settings("mtls")),
        "a stranger's certificate": (
            "CERTIFICATE_FILE",
            kafka.settings("mtls", certificate_file=stranger.issue("client").both),
        ),
        "no login there": (
            "SECURITY_PROTOCOL",
            kafka.settings("plain", security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN",
                           sasl_username="masterx", sasl_password="right"),
        ),
    }  # fmt: skip


class TestRefusals:
    pytestmark = real

    async def test_each_names_its_setting_whoever_connects(
        self, kafka: SecuredKafka, tmp_path: Path
    ) -> None:
        for name, (setting, way) in wrong_ways(kafka, tmp_path).items():
            for connecting in (
                probe_kafka(way),
                list_topics(of(way)),
                clients.start(way, clients.consumer(way)),
                Producer(of(way), client_id="test").start(),
            ):
                with pytest.raises(Misconfigured) as refusal:
                    await connecting
                said = str(refusal.value)
                assert said.startswith(f"MASTERX_KAFKA__{setting}: "), (name, said)
                assert "\n" not in said
                assert "right" not in said, "no password"

    async def test_doctor_names_it(self, kafka: SecuredKafka, tmp_path: Path) -> None:
        settings = of(kafka.settings(sasl_password="wrong"))
        (found,) = [one for one in await examine(settings) if one.name == "kafka"]
        assert found.blocks
        assert found.found == "does not take these settings"
        assert found.remedy.startswith("MASTERX_KAFKA__SASL_PASSWORD: ")


class TestProcesses:
    """A whole worker and gateway, and what they say when they are refused."""

    pytestmark = real

    @pytest.mark.parametrize("mechanism", ["SCRAM-SHA-512", "OAUTHBEARER"])
    async def test_a_learner_worker_works_through_sasl_ssl(
        self,
        kafka: SecuredKafka,
        settings: Settings,
        tmp_path: Path,
        token_file: Path,
        mechanism: str,
    ) -> None:
        way = kafka.settings(topic_prefix=settings.kafka.topic_prefix)
        if mechanism == "OAUTHBEARER":
            login = {"sasl_username": None, "sasl_password": None, "oauth_token_file": token_file}
            way = way.model_copy(update={"sasl_mechanism": mechanism, **login})
        chosen = fast(settings.model_copy(update={"kafka": way}))
        await create_topics(chosen)
        plain = kafka.settings("plain", topic_prefix=settings.kafka.topic_prefix)
        beside = settings.model_copy(update={"kafka": plain})

        async with WorkerProcess("learner", chosen, tmp_path / "log") as worker:
            await produce(beside, INTERACTIONS, [("ada", message(INTERACTIONS, "ada", 1))])
            states = await eventually(lambda: read_all(beside, USER_STATE), bool)
            assert states[0].key == b"ada"
            assert await worker.stop() == 0
        async with WorkerProcess("learner", chosen, tmp_path / "again") as worker:
            assert "table.recovered" in worker.tail(), "what it wrote, it reads"
        assert "right" not in (tmp_path / "log").read_text() + (tmp_path / "again").read_text()

    @pytest.mark.parametrize("program", ["worker learner", "gateway", "topics list"])
    def test_a_wrong_password_is_one_line_and_no_restart(
        self, kafka: SecuredKafka, program: str
    ) -> None:
        way = kafka.settings(sasl_password="not the one")
        run = subprocess.run(
            [sys.executable, "-m", "app.cli", *program.split()],
            env=child_environment(Settings(kafka=way)),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert run.returncode == (1 if program == "topics list" else Exit.CONFIG), run.stderr
        (line,) = run.stderr.strip().splitlines()
        assert "MASTERX_KAFKA__SASL_PASSWORD: Kafka at 127.0.0.1:" in line
        assert "not the one" not in line


def files(tmp_path: Path):
    issued = Authority(tmp_path, "one").issue("one", password="of the key")
    other = Authority(tmp_path, "two").issue("two")
    text = tmp_path / "text"
    text.write_text("no certificate")
    gone = tmp_path / "gone"
    return {
        "CA_FILE: cannot read": {"ca_file": gone},
        "CA_FILE: .* holds no PEM": {"ca_file": text},
        "CERTIFICATE_FILE: cannot read": {"certificate_file": gone},
        "CERTIFICATE_FILE: .* holds no PEM key": {"certificate_file": other.certificate},
        "KEY_FILE: cannot read": {"certificate_file": other.certificate, "key_file": gone},
        "KEY_FILE: the key in": {"certificate_file": issued.certificate, "key_file": other.key},
        "KEY_PASSWORD is not set": {"certificate_file": issued.both},
        "KEY_PASSWORD does not open": {"certificate_file": issued.both, "key_password": "no"},
    }


def test_a_file_that_cannot_be_used_is_named_with_its_setting(tmp_path: Path) -> None:
    for said, fields in files(tmp_path).items():
        settings = KafkaSettings(bootstrap="k:1", security_protocol="SSL", **fields)
        with pytest.raises(UnusableFile, match=f"^MASTERX_KAFKA__{said}"):
            clients.connection(settings)


def test_a_renewed_authority_is_read_and_one_that_stays_is_not_read_again(tmp_path: Path) -> None:
    first = Authority(tmp_path / "1")
    settings = KafkaSettings(security_protocol="SSL", bootstrap="k:1", ca_file=first.ca_file)
    context = clients.connection(settings)["ssl_context"]
    assert clients.connection(settings)["ssl_context"] is context
    first.ca_file.write_bytes(Authority(tmp_path / "2").ca_file.read_bytes())
    assert clients.connection(settings)["ssl_context"] is not context
