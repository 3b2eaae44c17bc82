"""Settings that cannot be used are refused, and say which."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import DEVELOPMENT_SECRET, Settings
from models.learner.config import LearnerSettings
from models.words.words import load


def refused(monkeypatch: pytest.MonkeyPatch, **variables: str) -> str:
    for name, value in variables.items():
        monkeypatch.setenv(f"MASTERX_{name}", value)
    with pytest.raises(ValidationError) as caught:
        Settings()
    return str(caught.value)


SECRET = "a secret that is not in the source code"
WEAK = [
    ({}, "MASTERX_AUTH__SECRET"),
    ({"SECRET": DEVELOPMENT_SECRET}, "MASTERX_AUTH__SECRET"),
    ({"SECRET": "x" * 31}, "MASTERX_AUTH__SECRET must have 32 characters"),
    ({"JWKS_URL": "http://id.example/jwks"}, "MASTERX_AUTH__JWKS_URL must begin with https"),
    ({"SECRET": SECRET, "ISSUER": "null"}, "MASTERX_AUTH__ISSUER"),
    ({"SECRET": SECRET, "ISSUER": ""}, "MASTERX_AUTH__ISSUER"),
    ({"JWKS_URL": "https://id.example/jwks", "AUDIENCE": "null"}, "MASTERX_AUTH__AUDIENCE"),
]


@pytest.mark.parametrize(("auth", "named"), WEAK)
def test_production_refuses_what_lets_somebody_forge_a_token(monkeypatch, auth, named):
    variables = {f"AUTH__{name}": value for name, value in auth.items()}
    assert named in refused(monkeypatch, ENVIRONMENT="production", **variables)
    monkeypatch.setenv("MASTERX_ENVIRONMENT", "development")
    assert Settings().environment == "development"


@pytest.mark.parametrize(
    "auth", [{"SECRET": SECRET}, {"SECRET": "x" * 32}, {"JWKS_URL": "HTTPS://id.example/jwks"}]
)
def test_production_takes_a_secret_of_its_own_or_public_keys(monkeypatch, auth):
    monkeypatch.setenv("MASTERX_ENVIRONMENT", "production")
    for name, value in auth.items():
        monkeypatch.setenv(f"MASTERX_AUTH__{name}", value)
    assert Settings().environment == "production"


def test_secrets_are_not_shown(monkeypatch):
    monkeypatch.setenv("MASTERX_AUTH__SECRET", "very-secret")
    assert "very-secret" not in repr(Settings())
    assert "very-secret" not in Settings().model_dump_json()
    assert DEVELOPMENT_SECRET not in repr(Settings())


def test_a_rebalance_must_fit_in_a_session(monkeypatch):
    # A longer one would cost every worker its lease whenever one of them dies.
    said = refused(monkeypatch, WORKER__REBALANCE_TIMEOUT="9.5")
    assert "session_timeout must be above rebalance_timeout" in said


def test_a_request_must_end_before_its_worker_counts_as_stalled(monkeypatch):
    said = refused(monkeypatch, TUTOR__TIMEOUTS__OVERALL="58")
    assert "worker.stall_timeout must be above tutor.timeouts.overall" in said


def test_a_reply_is_remembered_for_longer_than_it_is_tried(monkeypatch):
    said = refused(monkeypatch, TUTOR__REPLIES__MEMORY="900")
    assert "memory must be above tutor.replies.lifetime" in said


@pytest.mark.parametrize("name", ["INACTIVE_DAYS", "MARKER_DAYS"])
def test_a_record_must_outlive_what_it_guards_against(monkeypatch, name: str):
    # A record of the topics may be delivered again for as long as Kafka keeps it.
    said = refused(monkeypatch, **{f"LEARNER__{name}": "8"})
    assert f"learner.{name.lower()} must be above 8" in said
    monkeypatch.setenv(f"MASTERX_LEARNER__{name}", "8.1")
    assert Settings().learner.marker_days > 8
    assert f"learner.{name.lower()} must be above 11" in refused(
        monkeypatch, KAFKA__RETENTION_DAYS="3", KAFKA__CHAT_DAYS="10"
    )


def test_a_language_without_words_is_refused_and_those_that_there_are_named(monkeypatch):
    told = refused(monkeypatch, LANGUAGE="tlh")
    assert "language" in told
    assert "no words in 'tlh': take one of de, en, or write models/words/tlh.toml" in told


def test_the_language_reaches_the_learner_and_the_tutor(monkeypatch):
    assert (Settings().words, Settings().learner.words) == (load("en"), load("en"))
    monkeypatch.setenv("MASTERX_LANGUAGE", "de")
    monkeypatch.setenv("MASTERX_LEARNER__POLICY__HYSTERESIS", "0.2")
    assert (Settings().words, Settings().learner.words) == (load("de"), load("de"))
    assert Settings(learner=LearnerSettings()).learner.words == load("de")
    assert Settings(language="en").learner.words == load("en")
    # No settings of one deployment leak into those of another.
    assert LearnerSettings().words == load("en")


def test_a_field_that_does_not_exist_is_named(monkeypatch):
    assert "gateway.prot" in refused(monkeypatch, GATEWAY__PROT="8000").replace("\n", " ")


def test_nothing_binds_a_public_address_by_default():
    settings = Settings()
    assert settings.gateway.host == settings.embedded.host == "127.0.0.1"
    assert settings.worker.status_host == "127.0.0.1"
