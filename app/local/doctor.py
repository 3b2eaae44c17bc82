"""Is this machine fit to run it? Each check says what was found, and what to do.

`masterx up` runs the same checks before it starts.
"""

from __future__ import annotations

import asyncio
import ipaddress
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

import orjson

from app.kafka.admin import list_topics, topic_settings
from app.kafka.plan import differences
from app.kafka.topics import catalogue
from app.local.embedded import Service, port_taken
from app.local.programs import embedded_services
from app.local.supervisor import running
from app.process.errors import Misconfigured, OperatorError
from app.process.probes import probe_kafka, probe_mongo, probe_redis
from app.redis.requirements import obstacles
from app.settings import DEVELOPMENT_SECRET, MIN_SECRET, Settings
from models.learner.behaviour.serving.artefact import BehaviourArtefactProblem
from models.learner.nets.serving.artefact import NetProblem
from models.learner.rules import PolicyError

_PACKAGES = ("faust-streaming", "aiokafka", "onnxruntime", "fastapi", "redis", "pymongo")
_FREE_BYTES = 500_000_000


@dataclass(frozen=True, slots=True)
class Finding:
    """One check. `blocks`: nothing can start before it is put right."""

    name: str
    found: str
    fine: bool = True
    blocks: bool = False
    remedy: str = ""


def _wrong(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, found, fine=False, blocks=True, remedy=remedy)


def _doubtful(name: str, found: str, remedy: str) -> Finding:
    return Finding(name, found, fine=False, blocks=False, remedy=remedy)


async def examine(settings: Settings) -> list[Finding]:
    """All checks, in the order of starting."""
    already = running(settings.embedded.data_dir.absolute())
    findings = [_python(), *_packages(), _artefact(settings), *_encoder(settings)]
    findings.append(_learned(settings))
    findings += [_data_dir(settings.embedded.data_dir), _secret(settings)]
    if already:
        place = settings.embedded.data_dir
        findings.append(Finding("masterx", f"runs already, with its data in {place}"))
    else:
        findings += _ports(settings)
    return findings + await _external(settings)


def _python() -> Finding:
    found = ".".join(map(str, sys.version_info[:3]))
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        return _wrong("Python", found, "Use Python 3.11, 3.12 or 3.13.")
    return Finding("Python", found)


def _packages() -> Iterator[Finding]:
    found = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            yield _wrong(package, "is not installed", "Run: make run (or make .venv)")
    yield Finding("packages", ", ".join(found))


def _artefact(settings: Settings) -> Finding:
    folder = settings.emotion.artefact
    missing = [n for n in ("model.safetensors", "card.json") if not (folder / n).is_file()]
    if missing:
        return _wrong(
            "emotion model",
            f"{' and '.join(missing)} not in {folder}",
            "Restore it from git, train it (masterx train emotion), or set "
            "MASTERX_EMOTION__ARTEFACT to a folder that has it.",
        )
    return Finding("emotion model", str(folder))


def _learned(settings: Settings) -> Finding:
    """What the learner worker reads at its start; it ends where it cannot (docs/operations.md)."""
    name = "learner's models"
    try:
        settings.learner.load()
    except (NetProblem, BehaviourArtefactProblem, PolicyError) as problem:
        return _wrong(name, str(problem), "Restore it from git, or train it (masterx train).")
    behaviour = f"behaviour {settings.learner.behaviour.behaviour.version}"
    nets = settings.learner.trained_nets
    read = [net.version for net in (nets.readiness, nets.intervention) if net is not None]
    return Finding(name, ", ".join([behaviour, *read]))


def _encoder(settings: Settings) -> Iterator[Finding]:
    for encoder in settings.emotion.encoders or _named_on_card(settings.emotion.artefact):
        if Path(encoder).is_dir() or (encoder.isidentifier() and find_spec(encoder) is not None):
            yield Finding("encoder", encoder)
        else:
            yield _doubtful(
                "encoder",
                f"{encoder} is neither a folder nor an installed package",
                "It would be fetched from the hub; see MASTERX_EMOTION__ENCODERS.",
            )


def _named_on_card(artefact: Path) -> list[str]:
    try:
        names = orjson.loads((artefact / "card.json").read_bytes())["encoders"]
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return []  # the check of the model tells
    return [str(name) for name in names]


def _data_dir(folder: Path) -> Finding:
    place = folder.absolute()
    remedy = "Give it to this user, or set MASTERX_EMBEDDED__DATA_DIR to another folder."
    try:
        place.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"x")
    except OSError as error:
        return _wrong("data folder", f"{place}: {error.strerror}", remedy)
    free = shutil.disk_usage(place).free
    if free < _FREE_BYTES:
        return _doubtful("data folder", f"{place} has {free / 1e6:.0f} MB left", "Make room.")
    return Finding("data folder", f"{place}, {free / 1e9:.1f} GB free")


def _secret(settings: Settings) -> Finding:
    if settings.auth.jwks_url is not None:
        return Finding("tokens", f"checked with the keys at {settings.auth.jwks_url}")
    default = settings.auth.secret.get_secret_value() == DEVELOPMENT_SECRET
    if default and not _loopback(settings.gateway.host):
        return _doubtful(
            "tokens",
            f"anyone who reaches {settings.gateway.host} can sign them: the secret is public",
            f"Set MASTERX_AUTH__SECRET ({MIN_SECRET} characters or more).",
        )
    length = len(settings.auth.secret.get_secret_value())
    if length < MIN_SECRET:
        return _doubtful(
            "tokens",
            f"the secret has {length} characters; production refuses fewer than {MIN_SECRET}",
            "Set MASTERX_AUTH__SECRET, for example to the output of: openssl rand -hex 32",
        )
    return Finding("tokens", "the development secret" if default else "a secret of your own")


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _ports(settings: Settings) -> Iterator[Finding]:
    gateway = settings.gateway
    yield _port("gateway", gateway.host, gateway.port, "MASTERX_GATEWAY__PORT")
    yield _port(
        "gateway's private",
        gateway.status_host,
        gateway.status_port,
        "MASTERX_GATEWAY__STATUS_PORT (0: any free)",
    )
    for service in embedded_services(settings):
        yield _installed(service)
        yield _port(
            service.name,
            service.host,
            service.port,
            f"MASTERX_EMBEDDED__{service.name.upper()}_PORT (0: any free)",
        )


def _port(name: str, host: str, port: int, setting: str) -> Finding:
    if port == 0:
        return Finding(f"{name} port", "any free")
    if port_taken(host, port):
        return _wrong(
            f"{name} port",
            f"{host}:{port} is in use, or not an address of this machine",
            f"End what listens there, or set {setting}.",
        )
    return Finding(f"{name} port", f"{host}:{port} is free")


def _installed(service: Service) -> Finding:
    if not service.executable.is_file():
        return _wrong(
            f"embedded {service.name}",
            f"{service.executable} is missing",
            f"Run: pip install {service.package}",
        )
    return Finding(f"embedded {service.name}", service.package)


async def _external(settings: Settings) -> list[Finding]:
    """The services that are not ours to start must answer."""
    ours = {service.name for service in embedded_services(settings)}
    probes: dict[str, tuple[str, Awaitable[None]]] = {}
    if "kafka" not in ours:
        probes["kafka"] = (settings.kafka.bootstrap, probe_kafka(settings.kafka))
    if "redis" not in ours:
        probes["redis"] = ("MASTERX_REDIS__URL", probe_redis(settings.redis))
    if "mongo" not in ours:
        probes["mongo"] = ("MASTERX_MONGO__URL", probe_mongo(settings.mongo))
    results = await asyncio.gather(*(probe for _, probe in probes.values()), return_exceptions=True)
    findings = []
    for (name, (place, _)), result in zip(probes.items(), results, strict=True):
        if isinstance(result, Misconfigured):
            findings.append(_wrong(name, "does not take these settings", str(result)))
        elif isinstance(result, OperatorError):
            findings.append(_wrong(name, "does not answer", str(result)))
        elif isinstance(result, BaseException):
            raise result
        else:
            findings.append(Finding(name, f"answers ({place})"))
            if name == "kafka":
                findings += await _topics(settings)
            if name == "redis":
                findings.append(await _redis(settings))
    return findings


async def _redis(settings: Settings) -> Finding:
    """Whether its user may do what masterx does, and whether it is one shard."""
    found = await obstacles(settings.redis)
    if found:
        return _wrong("Redis user", found[0], "docs/operations.md (Redis) lists what it needs.")
    return Finding("Redis user", "may run every command that masterx uses")


async def _topics(settings: Settings) -> list[Finding]:
    """How the topics stand, whoever created them, and what it costs where they differ."""
    topics = await list_topics(settings)
    differing = [t for t in topics if t.partitions not in (0, t.expected)]
    if differing:
        first = differing[0]
        return [
            _wrong(
                "topics",
                f"{first.physical} has {first.partitions} partitions, not {first.expected}",
                "Set MASTERX_KAFKA__PARTITIONS to theirs, or rebuild them (docs/operations.md).",
            )
        ]
    there = sum(topic.ready for topic in topics)
    found = [Finding("topics", f"{there} of {len(topics)} there (masterx topics create)")]
    on_broker = await topic_settings(settings)
    for topic in catalogue(settings.kafka):
        for one in differences(settings, topic, on_broker.get(topic.name, {})):
            tell = _wrong if one.blocks else _doubtful
            said = f"{one.topic}: {one.key} is {one.found}, not {one.wanted}"
            found.append(tell("topics", said, f"Change it there: {one.cost}."))
    return found
