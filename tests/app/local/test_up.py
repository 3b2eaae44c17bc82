"""`masterx up` as a user meets it: one command, one line, a chain that runs, a clean end."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from app.local.embedded import free_port

pytestmark = [pytest.mark.services, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[3]
MASTERX = [sys.executable, "-m", "app.cli"]
READY = re.compile(r"^masterx is ready: (\S+)  state: (\S+)  .*token for demo: (\S+)$")


@pytest.fixture
def environment(tmp_path):
    kept = {k: v for k, v in os.environ.items() if not k.upper().startswith("MASTERX_")}
    return kept | {
        "MASTERX_EMBEDDED__DATA_DIR": str(tmp_path / "masterx"),
        "MASTERX_EMBEDDED__KAFKA_PORT": "0",
        "MASTERX_EMBEDDED__REDIS_PORT": "0",
        "MASTERX_EMBEDDED__MONGO_PORT": "0",
        "MASTERX_GATEWAY__PORT": str(free_port("127.0.0.1")),
        "MASTERX_KAFKA__PARTITIONS": "4",
    }


@contextmanager
def up(environment, log):
    """A supervisor: its gateway, where its state is, a token; ended by Ctrl-C at the end."""
    with log.open("wb") as errors:
        process = subprocess.Popen(
            [*MASTERX, "up"],
            env=environment,
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
            text=True,
        )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        ready = READY.match(line)
        assert ready, f"{line!r}; {log.read_text()}"
        yield ready.groups()
        family = psutil.Process(process.pid).children(recursive=True)
        assert len(family) >= 6, "three services, two processes of roles, the gateway"
        # What a terminal does: the whole foreground group gets it.
        os.killpg(process.pid, signal.SIGINT)
        assert process.wait(timeout=60) == 0
        assert process.stdout.read() == "", "one line on stdout, no more"
        assert not any(child.is_running() for child in family)
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(timeout=60)


def replay(environment, url, token):
    return subprocess.run(
        [*MASTERX, "replay", "examples/session.jsonl", "--speed", "10", "--url", url, "-q"],
        env=environment | {"MASTERX_TOKEN": token},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


def first_picture(environment, url):
    """What `masterx watch` shows once it is connected."""
    process = subprocess.Popen(
        [*MASTERX, "watch", "demo", "--url", url],
        env=environment,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        return process.stdout.readline()
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=30)
        process.stdout.close()


def connected_places(state):
    """Where the embedded services listen, as the private port tells it."""
    with urllib.request.urlopen(state, timeout=10) as answer:
        dependencies = json.load(answer)["dependencies"]
    return {
        "MASTERX_KAFKA__BOOTSTRAP": dependencies["kafka"]["at"],
        "MASTERX_REDIS__URL": dependencies["redis"]["at"],
        "MASTERX_MONGO__URL": dependencies["mongo"]["at"],
    }


def profile(url, token):
    request = urllib.request.Request(
        f"{url}/api/v1/ml-personalization/profile/demo",
        headers={"Authorization": f"Bearer {token}"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def test_up_runs_the_chain_ends_cleanly_and_finds_its_state_again(environment, tmp_path):
    # Given a fresh data folder
    with up(environment, tmp_path / "first.log") as (url, state, token):
        with urllib.request.urlopen(f"{url}/readyz?roles=all", timeout=10) as answer:
            assert json.load(answer) == {"ready": True}
        with urllib.request.urlopen(state, timeout=10) as answer:
            report = json.load(answer)
        assert report["allReady"]
        assert all(role["ready"] for role in report["roles"].values())
        # When a recorded session is replayed
        outcome = replay(environment, url, token)
        assert outcome.returncode == 0, outcome.stderr + outcome.stdout
        assert re.search(r"chat_message 8, interaction_batch 9", outcome.stdout)
        assert re.search(r"state update +17 ", outcome.stdout)
        first = profile(url, token)
        assert first["known"]
    # Then a second start knows the learner, and goes on from there
    with up(environment, tmp_path / "second.log") as (url, state, token):
        second = profile(url, token)
        assert second["userState"] == first["userState"]
        outcome = replay(environment, url, token)
        assert outcome.returncode == 0, outcome.stderr + outcome.stdout
        assert profile(url, token)["userState"]["version"] > second["userState"]["version"]
        assert first_picture(environment, url).startswith("valence")
        # And when the learner is forgotten, it is as if never met
        places = environment | connected_places(state)
        erased = subprocess.run(
            [*MASTERX, "forget", "demo", "--yes"],
            env=places,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert erased.returncode == 0, erased.stderr + erased.stdout
        assert "NOT" not in erased.stdout
        with pytest.raises(urllib.error.HTTPError, match="404"):
            profile(url, token)
    logs = (tmp_path / "masterx" / "logs").glob("*.log")
    assert not any("harder one" in log.read_text(errors="replace") for log in logs), (
        "what a learner wrote stands in no log"
    )
