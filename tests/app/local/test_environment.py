import json
import os
import subprocess
import sys

from pydantic import SecretStr

from app.local.environment import child_environment, environment
from app.settings import Settings
from models.words.words import load


def unusual() -> Settings:
    base = Settings()
    return base.model_copy(
        update={
            "language": "de",
            "learner": base.learner.speaking(load("de")),
            "auth": base.auth.model_copy(
                update={"secret": SecretStr("not the default"), "issuer": None}
            ),
            "gateway": base.gateway.model_copy(
                update={"allowed_origins": ("https://a.example", "https://b.example"), "port": 1}
            ),
            "kafka": base.kafka.model_copy(update={"topic_prefix": "x.", "linger": 0.25}),
        }
    )


def test_settings_survive_the_environment(monkeypatch):
    settings = unusual()
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_a_child_has_its_parents_settings_whatever_else_the_environment_says(monkeypatch):
    settings = unusual()
    monkeypatch.setenv("MASTERX_KAFKA__PARTITIONS", "99")
    monkeypatch.setenv("masterx_kafka", '{"replication": 3}')
    program = (
        "import json; from app.settings import Settings; s = Settings();"
        "print(json.dumps([s.auth.secret.get_secret_value(), s.auth.issuer, s.gateway.port,"
        "s.kafka.partitions, s.kafka.replication, s.kafka.topic_prefix]))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program],
        env=child_environment(settings),
        capture_output=True,
        check=True,
    ).stdout
    assert json.loads(output) == ["not the default", None, 1, 12, 1, "x."]
    assert os.environ["MASTERX_KAFKA__PARTITIONS"] == "99"
