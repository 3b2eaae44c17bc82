"""The commands as a shell meets them: exit status, stdout, stderr."""

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from app.gateway.auth.tokens import Authenticator
from app.local.embedded import free_port
from app.local.environment import child_environment
from app.process.exits import Exit
from app.settings import Settings
from models.emotion.config import EmotionSettings
from models.learner.config import LearnerSettings

ROOT = Path(__file__).resolve().parents[3]


def masterx(*arguments, settings=None, **variables):
    clean = {k: v for k, v in os.environ.items() if not k.upper().startswith("MASTERX_")}
    environment = clean if settings is None else child_environment(settings)
    return subprocess.run(
        [sys.executable, "-m", "app.cli", *arguments],
        env=environment | variables,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,  # ends a command that hangs; a loaded machine is slow, not wrong
    )


async def test_token_prints_the_bare_token_and_nothing_else():
    run = masterx("token", "ann", "--role", "observer", "--learners", "bob, cy", "--no-consent")
    assert run.returncode == 0
    assert run.stderr == ""
    token = run.stdout.removesuffix("\n")
    assert "\n" not in token
    principal = await Authenticator(Settings().auth).verify(token)
    assert (principal.subject, principal.role.value) == ("ann", "observer")
    assert principal.learners == {"bob", "cy"}
    assert not principal.consent


def test_token_for_nobody_is_refused():
    run = masterx("token", " ")
    assert run.returncode == 1
    assert run.stdout == ""
    assert run.stderr.startswith("error: USER")


def test_token_with_a_jwks_says_where_tokens_come_from():
    run = masterx("token", "ann", MASTERX_AUTH__JWKS_URL="http://127.0.0.1:9/jwks")
    assert run.returncode == 1
    assert "identity provider" in run.stderr


@pytest.mark.parametrize(
    "command",
    ["gateway", "worker learner", "worker tutor", "up", "settings", "doctor", "topics create"],
)
def test_production_with_a_weak_secret_ends_before_anything_is_connected(command):
    with socket.create_server(("127.0.0.1", 0)) as service:
        service.setblocking(False)
        place = f"127.0.0.1:{service.getsockname()[1]}"
        run = masterx(
            *command.split(),
            MASTERX_ENVIRONMENT="production",
            MASTERX_AUTH__SECRET="short",
            MASTERX_KAFKA__BOOTSTRAP=place,
            MASTERX_REDIS__URL=f"redis://{place}/0",
            MASTERX_MONGO__URL=f"mongodb://{place}",
        )
        assert run.returncode == 2
        assert "MASTERX_AUTH__SECRET must have 32 characters" in run.stderr
        assert "Traceback" not in run.stderr
        assert "short" not in run.stderr + run.stdout
        with pytest.raises(BlockingIOError):
            service.accept()


def test_production_says_all_that_is_wrong_in_one_line():
    run = masterx(
        "settings",
        MASTERX_ENVIRONMENT="production",
        MASTERX_AUTH__JWKS_URL="http://id.example/jwks",
        MASTERX_AUTH__ISSUER="null",
        MASTERX_AUTH__AUDIENCE="null",
    )
    assert run.returncode == 2
    [line] = run.stderr.splitlines()
    for name in ("JWKS_URL", "ISSUER", "AUDIENCE"):
        assert f"MASTERX_AUTH__{name}" in line


def test_no_command_but_the_emotion_worker_loads_torch():
    program = (
        "import sys; from app.cli import app; import app.cli.up, app.client.live;"
        "import app.kafka.redrive, app.client.replay, app.gateway.process.server;"
        "import app.gateway.auth.dev_tokens;"
        "print(sorted(m for m in ('torch', 'transformers') if m in sys.modules))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]"


def test_settings_shows_everything_and_no_secret():
    variables = {
        "MASTERX_AUTH__SECRET": "very secret indeed, and long enough",
        "MASTERX_REDIS__URL": "redis://me:hidden@127.0.0.1:6379/0",
        "MASTERX_KAFKA__PARTITIONS": "5",
    }
    for form in ((), ("--json",)):
        run = masterx("settings", *form, **variables)
        assert run.returncode == 0
        assert "very secret" not in run.stdout
        assert "hidden" not in run.stdout
    assert json.loads(run.stdout)["kafka"]["partitions"] == 5
    assert "MASTERX_KAFKA__PARTITIONS=5" in masterx("settings", **variables).stdout.splitlines()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MASTERX_KAFKA__PARTITIONS", "0"),
        ("MASTERX_GATEWAY__PORT", "eighty"),
        ("MASTERX_LOG__LEVEL", "loud"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_by_its_variable(name, value):
    run = masterx("settings", **{name: value})
    assert run.returncode == 2
    assert run.stderr.startswith(f"error: {name}: ")
    assert "Traceback" not in run.stderr


def test_a_missing_broker_is_told_in_one_line():
    place = f"127.0.0.1:{free_port('127.0.0.1')}"
    for command in (("topics", "list"), ("dead-letters", "list")):
        run = masterx(*command, MASTERX_KAFKA__BOOTSTRAP=place)
        assert run.returncode == 1
        assert place in run.stderr
        assert "MASTERX_KAFKA__BOOTSTRAP" in run.stderr
        assert "Traceback" not in run.stderr
        assert len(run.stderr.strip().splitlines()) == 1, run.stderr


def test_a_missing_gateway_is_told():
    run = masterx("replay", "examples/session.jsonl", "--url", "http://127.0.0.1:9")
    assert run.returncode == 1
    assert "no gateway answers" in run.stderr
    assert "masterx up" in run.stderr


def test_a_speed_that_is_none_is_told():
    run = masterx("replay", "examples/session.jsonl", "--speed", "fast")
    assert run.returncode == 2
    assert "--speed" in run.stderr


@pytest.mark.services
def test_topics_are_created_listed_and_named_by_their_prefix(settings):
    before = masterx("topics", "list", settings=settings)
    assert before.stdout.count("missing") == 13
    assert masterx("topics", "create", settings=settings).stdout.count("created") == 13
    after = masterx("topics", "list", settings=settings)
    assert after.stdout.count(" ready ") == 13
    assert f"{settings.kafka.topic_prefix}chat-messages" in after.stdout


@pytest.mark.services
def test_doctor_examines_servers_that_are_named(topics):
    run = masterx("doctor", settings=topics)
    assert run.returncode == 0, run.stderr
    for name in ("kafka: answers", "redis: answers", "mongo: answers", "topics: 13 of 13"):
        assert name in run.stderr
    broken = topics.model_copy(
        update={
            "redis": topics.redis.model_copy(
                update={"url": f"redis://:pw@127.0.0.1:{free_port('127.0.0.1')}/0"}
            ),
            "emotion": topics.emotion.model_copy(update={"artefact": ROOT / "no-such-folder"}),
        }
    )
    run = masterx("doctor", settings=broken)
    assert run.returncode == 1
    assert "MASTERX_REDIS__URL" in run.stderr
    assert "MASTERX_EMOTION__ARTEFACT" in run.stderr
    assert "2 of " in run.stderr
    assert "pw" not in run.stderr


@pytest.mark.services
def test_dead_letters_need_to_be_named_before_they_are_replayed(topics):
    assert masterx("dead-letters", "replay", settings=topics).returncode == 2
    run = masterx("dead-letters", "replay", "--id", "chat-messages:0:99", settings=topics)
    assert run.returncode == 1
    assert "no such dead letter: chat-messages:0:99" in run.stderr
    run = masterx("dead-letters", "list", "--since", "yesterday", settings=topics)
    assert run.returncode == 2
    assert "--since" in run.stderr
    assert "0 dead letters" in masterx("dead-letters", "list", settings=topics).stderr


# -- formats of files, and promoting -------------------------------------------------------


@pytest.mark.parametrize(
    ("variable", "shipped"),
    [
        ("MASTERX_LEARNER__POLICY__FILE", LearnerSettings().policy.file),
        ("MASTERX_LEARNER__RECOMMENDING__FILE", LearnerSettings().recommending.file),
    ],
)
def test_a_worker_ends_with_78_on_a_rule_file_of_another_version(tmp_path, variable, shipped):
    file = tmp_path / "later.toml"
    file.write_text("format = 2\n" + shipped.read_text())
    run = masterx("worker", "learner", **{variable: str(file)})
    assert run.returncode == Exit.CONFIG
    assert f"{file}: of format 2; this version reads 1" in run.stderr
    assert "Traceback" not in run.stderr


@pytest.fixture(scope="module")
def other_emotion_model(tmp_path_factory):
    """The shipped weights under another card: to whoever reads embeddings, another model."""
    folder = tmp_path_factory.mktemp("emotion") / "other"
    shutil.copytree(EmotionSettings().artefact, folder)
    card = json.loads((folder / "card.json").read_text())
    (folder / "card.json").write_text(json.dumps({**card, "reproduce": "by hand"}))
    return folder


def test_a_model_that_the_intervention_net_cannot_read_is_promoted_by_force_only(
    tmp_path, other_emotion_model
):
    pointer = tmp_path / "promoted"
    arguments = ("models", "promote", str(other_emotion_model))

    refused = masterx(*arguments, MASTERX_EMOTION__PROMOTED=str(pointer))
    assert refused.returncode == 1
    assert "intervention (reads those of fast-" in refused.stderr
    assert "masterx train intervention" in refused.stderr
    assert "--force" in refused.stderr
    assert not pointer.exists()

    forced = masterx(*arguments, "--force", MASTERX_EMOTION__PROMOTED=str(pointer))
    assert forced.returncode == 0, forced.stderr
    assert pointer.read_text().splitlines()[0] == str(other_emotion_model)


def test_without_an_intervention_net_any_model_is_promoted(tmp_path, other_emotion_model):
    pointer = tmp_path / "promoted"
    run = masterx(
        "models",
        "promote",
        str(other_emotion_model),
        MASTERX_EMOTION__PROMOTED=str(pointer),
        MASTERX_LEARNER__NETS__INTERVENTION="",
    )
    assert run.returncode == 0, run.stderr


def test_the_model_that_the_net_reads_is_promoted(tmp_path):
    pointer = tmp_path / "promoted"
    shipped = str(EmotionSettings().artefact)
    run = masterx("models", "promote", shipped, MASTERX_EMOTION__PROMOTED=str(pointer))
    assert run.returncode == 0, run.stderr
    assert pointer.exists()
