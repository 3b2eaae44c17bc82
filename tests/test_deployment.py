"""Compose, Procfile, Makefile, supervisor and settings name the same things."""

import ipaddress
import os
import re
import signal
import subprocess
import sys
import tomllib
from importlib.metadata import distributions
from pathlib import Path
from typing import get_args

import psutil
import pytest
import yaml
from typer.testing import CliRunner

from app.cli import app as cli
from app.cli.learned.emotion import DataFormat
from app.cli.tokens import TokenRole
from app.kafka.admin import list_topics
from app.local.environment import child_environment, environment
from app.local.programs import programs
from app.settings import EmbeddedSettings, GatewaySettings, Settings
from app.worker.role import roles
from models.emotion.measuring.figures import Format, MessageFormat
from schemas.vocabulary import Role as AuthRole

ROOT = Path(__file__).resolve().parents[1]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OURS = {name: service for name, service in COMPOSE.items() if service["image"] == "masterx"}
ALWAYS = {name: service for name, service in OURS.items() if "profiles" not in service}
LAG = "masterx_lag_records"
BASE_IMAGE_MB = 130
"""Of python:3.11-slim, unpacked."""
SECRET = "a secret of thirty-two characters"


def procfile() -> dict[str, list[str]]:
    lines = (ROOT / "Procfile").read_text().splitlines()
    pairs = (line.split(":", 1) for line in lines if line.strip())
    return {name.strip(): command.split() for name, command in pairs}


def settings_of(service: dict, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in list(os.environ):
        if name.upper().startswith("MASTERX_"):
            monkeypatch.delenv(name)
    for name, value in service["environment"].items():
        monkeypatch.setenv(name, re.sub(r"\$\{MASTERX_AUTH__SECRET[^}]*\}", SECRET, value))
    return Settings()


def test_procfile_compose_and_supervisor_run_the_same_programs():
    ours = {name: command[1:] for name, command in procfile().items()}
    assert set(ours) == {"gateway", *roles()}
    composed = {
        name.removeprefix("worker-"): service["command"]
        for name, service in ALWAYS.items()
        if name != "topics"
    }
    assert ours == composed
    one_each = Settings(embedded=EmbeddedSettings(share_processes=False))
    supervised = {p.name: list(p.command[3:]) for p in programs(one_each)}
    assert ours == supervised
    shared = [name for p in programs(Settings()) for name in p.command[4:]]
    assert sorted(shared) == sorted(roles())


def test_the_operators_page_starts_every_role():
    page = (ROOT / "docs" / "operations.md").read_text()
    started = re.findall(r"^ *masterx worker ([a-z0-9-]+)(?: +#.*)?$", page, re.MULTILINE)
    assert sorted(started) == sorted(roles())


def test_the_readme_scales_every_role_by_what_the_registry_says():
    sections = re.split(r"^## ", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    metrics = {role.scales_by.metric for role in roles().values()} - {LAG}
    (section,) = [one for one in sections if metrics and all(each in one for each in metrics)]
    named = set(re.findall(r"`(?:masterx worker )?([^`]+)`", section))
    for name, role in roles().items():
        assert {name, *role.scales_by.topics} <= named, name
        assert role.scales_by.metric in named or (role.scales_by.metric == LAG and "lag" in section)


@pytest.mark.parametrize("name", OURS)
def test_commands_of_compose_exist(name):
    outcome = CliRunner().invoke(cli, [*OURS[name]["command"], "--help"])
    assert outcome.exit_code == 0, outcome.output


@pytest.mark.parametrize("name", OURS)
def test_environment_of_compose_makes_settings(name, monkeypatch):
    unknown = set(OURS[name]["environment"]) - set(environment(Settings()))
    assert not unknown, "a variable that no setting reads is a typing error"
    settings = settings_of(OURS[name], monkeypatch)
    assert settings.environment == "production"
    assert settings.auth.secret.get_secret_value() == SECRET
    assert settings.kafka.bootstrap == "kafka:9092"
    assert settings.redis.url.startswith("redis://redis:6379")
    assert settings.mongo.url == "mongodb://mongo:27017"
    assert not settings.embedded.enabled


def test_ports_of_compose_are_those_of_the_settings(monkeypatch):
    port = settings_of(OURS["gateway"], monkeypatch).gateway.port
    assert COMPOSE["gateway"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f":{port}/healthz" in COMPOSE["gateway"]["healthcheck"]["test"][-1]
    for name, service in OURS.items():
        if name.startswith("worker-"):
            status = settings_of(service, monkeypatch).worker.status_port
            assert f":{status}/healthz" in service["healthcheck"]["test"][-1]


def test_nothing_is_published_beyond_loopback():
    for name, service in COMPOSE.items():
        for published in service.get("ports", ()):
            host = published.rsplit(":", 2)[0]
            assert ipaddress.ip_address(host).is_loopback, f"{name}: {published}"
    defaults = GatewaySettings()
    assert ipaddress.ip_address(defaults.host).is_loopback
    assert ipaddress.ip_address(Settings().embedded.host).is_loopback
    assert ipaddress.ip_address(Settings().worker.status_host).is_loopback


def test_every_long_running_service_has_a_healthcheck():
    for name, service in COMPOSE.items():
        assert "healthcheck" in service or name == "topics", name


def test_the_gpu_worker_asks_for_a_gpu(monkeypatch):
    gpu = COMPOSE["worker-emotion-gpu"]
    assert gpu["profiles"] == ["gpu"]
    devices = gpu["deploy"]["resources"]["reservations"]["devices"]
    assert devices[0]["capabilities"] == ["gpu"]
    assert settings_of(gpu, monkeypatch).emotion.device == "cuda"


def test_the_command_line_knows_every_role():
    told = CliRunner().invoke(cli, ["worker", "--help"]).output
    assert all(role in told for role in roles())
    assert {role.value for role in TokenRole} == {role.value for role in AuthRole}
    assert {one.value for one in DataFormat} == {*get_args(Format), *get_args(MessageFormat)}


def test_locks_pin_by_hash_and_name_no_address():
    for name in ("lock.txt", "gpu.txt", "train.txt", "notebook.txt", "dev.txt"):
        text = (ROOT / "requirements" / name).read_text()
        pins = re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE | re.IGNORECASE)
        assert pins
        # Each pin is followed by at least one hash.
        assert not re.search(r"^[a-z0-9._-]+==[^\\\n]*$", text, re.MULTILINE | re.IGNORECASE)
        assert "://" not in text
        assert not {p for p in pins if re.match(r"torch$|triton$|nvidia-|cuda-", p)}


def test_direct_dependencies_are_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    optional = project["optional-dependencies"]
    layers = {
        "lock.txt": project["dependencies"] + optional["embedded"],
        "gpu.txt": optional["gpu"],
        "train.txt": optional["train"],
        "notebook.txt": optional["notebook"],
    }
    known = ""
    for layer, wanted in layers.items():
        known += (ROOT / "requirements" / layer).read_text()
        for requirement in wanted:
            name = re.match(r"[a-z0-9_-]+", requirement, re.IGNORECASE).group()
            if name == "torch":
                assert f"TORCH ?= {requirement}\n" in (ROOT / "Makefile").read_text()
                assert f"ARG TORCH={requirement}\n" in (ROOT / "Dockerfile").read_text()
            elif name != "masterx":
                pattern = rf"^{re.escape(name).replace('_', '[-_]')}=="
                assert re.search(pattern, known, re.MULTILINE), name


def names_in(layer: str) -> set[str]:
    text = (ROOT / "requirements" / layer).read_text()
    return set(re.findall(r"^([a-z0-9._-]+)==", text, re.MULTILINE | re.IGNORECASE))


def test_layers_hold_nothing_twice_and_the_first_none_of_what_trains():
    names = ("lock.txt", "gpu.txt", "train.txt", "notebook.txt", "dev.txt")
    layers = [names_in(name) for name in names]
    assert len(set.union(*layers)) == sum(map(len, layers))
    assert not layers[0] & {"torch", "transformers", "scipy", "scikit-learn", "onnx", "polars"}


def test_the_image_without_torch_stays_small():
    """By the files of its layers: what pip installs of the lock, and what COPY copies."""
    installed = {
        re.sub(r"[-_.]+", "-", found.name).lower(): found for found in distributions() if found.name
    }
    megabytes = 0.0
    for name in names_in("lock.txt"):
        # Packages for other platforms are locked and not installed.
        files = installed[name].files if name in installed else None
        megabytes += sum(f.size or 0 for f in files or ()) / 1e6
    ours = ("app", "agents", "models", "schemas")
    copied = sum(f.stat().st_size for top in ours for f in (ROOT / top).rglob("*") if f.is_file())
    assert "onnxruntime" in installed
    assert BASE_IMAGE_MB + megabytes + copied / 1e6 < 600
    assert megabytes > 150, "the lock is not what is installed here"


def test_each_image_is_a_stage_and_the_gpu_worker_has_its_own():
    stages = re.findall(r"^FROM \S+ AS (\S+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    for name, service in OURS.items():
        wanted = "masterx-gpu" if name.endswith("-gpu") else "masterx"
        assert (service["image"], service["build"]["target"]) == (wanted, wanted)
        assert wanted in stages


def test_ci_runs_every_proof():
    text = (ROOT / ".ci" / "run").read_text()
    for target in ("lint", "types", "test", "test-real"):
        assert re.search(rf"^make .*\b{target}$", text, re.MULTILINE), target
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def expansion(*words: str) -> list[str]:
    """What `make run` would type."""
    made = subprocess.run(
        ["make", "--no-print-directory", "-n", "run", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return made.stdout.splitlines() or [made.stderr]


def test_run_is_on_embedded_services_unless_told_otherwise():
    for words in ((), ("SERVICES=embedded",)):
        lines = expansion(*words)
        assert lines[-1] == "exec .venv/bin/masterx up"
        assert not any("services.py" in line for line in lines)


def test_run_on_real_services_starts_them_and_never_an_embedded_one():
    start, say, run = expansion("SERVICES=real")[-3:]

    assert start == "python3 deploy/services/services.py start"
    assert "make services-stop" in say
    assert run == (
        "export $(python3 deploy/services/services.py environment) "
        "MASTERX_EMBEDDED__ENABLED=false; exec .venv/bin/masterx up"
    )
    (refused,) = expansion("SERVICES=kafka")
    assert "set it to real or embedded" in refused


@pytest.mark.slow
@pytest.mark.services
async def test_run_on_real_services_creates_topics_and_ends_by_ctrl_c(settings, tmp_path):
    # Given what `make run SERVICES=real` types last, in a namespace of this test
    chosen = {"MASTERX_EMBEDDED__ENABLED": "true"}
    run = expansion("SERVICES=real")[-1].replace(
        ".venv/bin/masterx", f"{sys.executable} -m app.cli"
    )
    process = subprocess.Popen(
        ["bash", "-c", run],
        cwd=ROOT,
        env=child_environment(settings) | chosen,
        stdout=subprocess.PIPE,
        stderr=(tmp_path / "up.log").open("wb"),
        start_new_session=True,
        text=True,
    )
    try:
        # When it is ready
        line = process.stdout.readline()
        assert re.match(r"masterx is ready: http\S+ .*token for demo: \S+$", line), line
        commands = [
            " ".join(each.cmdline())
            for each in psutil.Process(process.pid).children(recursive=True)
        ]
        # Then its children are the gateway and the workers, on topics that it created
        assert sorted(command.partition("app.cli ")[2] for command in commands) == sorted(
            " ".join(program.command[3:]) for program in programs(Settings())
        )
        assert all(topic.ready for topic in await list_topics(settings))
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 0
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def made(lines: list[str]) -> list[str]:
    """The targets that `make` is called with, in order."""
    return [line.split()[-1] for line in lines if line.strip().startswith("make ")]


def test_the_workflow_takes_the_steps_of_ci():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    core, real = (
        made([step.get("run", "") for step in jobs[name]["steps"]])
        for name in ("core", "real-services")
    )
    ours = made((ROOT / ".ci" / "run").read_text().splitlines())
    assert ours[:2] == ["lint", "types"]
    # The workflow splits the steps between two jobs, and each job keeps their order.
    assert [step for step in ours if step in core] == core
    # CI ends its services in a trap, the workflow in a step.
    assert [*(step for step in ours if step in real), "services-stop"] == real
    assert sorted([*core, *real]) == sorted([*ours, "services-stop"])
    versions = jobs["core"]["strategy"]["matrix"]["python"]
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == f">={versions[0]},<3.{int(versions[-1][2:]) + 1}"


@pytest.mark.parametrize(
    "path", sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda path: path.stem
)
def test_issue_forms_are_forms(path):
    form = yaml.safe_load(path.read_text())
    if path.stem == "config":
        assert form == {"blank_issues_enabled": True}
        return
    assert form["name"]
    assert form["description"]
    asked = [field for field in form["body"] if field["type"] != "markdown"]
    assert all(field["attributes"]["label"] for field in asked)
    assert len({field["id"] for field in asked}) == len(asked)


def test_good_first_issues_name_files_that_are_there():
    page = (ROOT / "docs" / "good-first-issues.md").read_text()
    rows = [line for line in page.splitlines() if re.match(r"\| \d+ \|", line)]
    assert len(rows) == 10
    for row in rows:
        named = re.findall(r"`((?:app|agents|models|tests|bench)/[^`]*)`", row)
        assert named
        assert all((ROOT / path).exists() for path in named), row
