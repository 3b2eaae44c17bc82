"""A secret may be in a file; whoever sets it twice, or names no readable file, is told."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic_settings import SettingsError

from app.local.environment import child_environment
from app.process.setting_sources import secret_variables
from app.settings import Settings

SECRETS = {
    "MASTERX_AUTH__SECRET",
    "MASTERX_KAFKA__SASL_PASSWORD",
    "MASTERX_KAFKA__KEY_PASSWORD",
    "MASTERX_REDIS__URL",
    "MASTERX_REDIS__PASSWORD",
    "MASTERX_MONGO__URL",
}
VALUES = {
    "MASTERX_KAFKA__SASL_PASSWORD": {
        "MASTERX_KAFKA__BOOTSTRAP": "k:1",
        "MASTERX_KAFKA__SECURITY_PROTOCOL": "SASL_SSL",
        "MASTERX_KAFKA__SASL_MECHANISM": "PLAIN",
        "MASTERX_KAFKA__SASL_USERNAME": "ada",
    },
    "MASTERX_KAFKA__KEY_PASSWORD": {
        "MASTERX_KAFKA__BOOTSTRAP": "k:1",
        "MASTERX_KAFKA__SECURITY_PROTOCOL": "SSL",
        "MASTERX_KAFKA__CERTIFICATE_FILE": "/a",
    },
    "MASTERX_REDIS__PASSWORD": {"MASTERX_REDIS__URL": "redis://r:1/0"},
}
URLS = {"MASTERX_REDIS__URL": "redis://:hush@r:1/0", "MASTERX_MONGO__URL": "mongodb://u:hush@m"}


def secret_of(settings: Settings, variable: str) -> str:
    group, field = variable.removeprefix("MASTERX_").lower().split("__")
    value = getattr(getattr(settings, group), field)
    return value if isinstance(value, str) else value.get_secret_value()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text("hush, and long enough for a secret\n")
    return path


def test_these_are_secret() -> None:
    assert set(secret_variables(Settings, "MASTERX_")) == SECRETS


@pytest.mark.parametrize("variable", sorted(SECRETS))
def test_each_can_be_read_from_a_file_and_a_child_has_it(
    monkeypatch: pytest.MonkeyPatch, file: Path, variable: str
) -> None:
    content = URLS.get(variable, "hush, and long enough for a secret ")
    file.write_text(content + "\n")
    for name, value in VALUES.get(variable, {}).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    settings = Settings()
    assert secret_of(settings, variable) == content, "all but the last newline"
    assert child_environment(settings)[variable] == content
    assert f"{variable}_FILE" not in child_environment(settings)


def test_only_the_last_newline_is_taken_away(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("MASTERX_AUTH__SECRET_FILE", str(file))
    for content, read in (("a\n\n", "a\n"), ("a\r\n", "a"), (" a ", " a "), ("null", "null")):
        file.write_text(content, newline="")
        assert Settings().auth.secret.get_secret_value() == read


@pytest.mark.parametrize("variable", sorted(SECRETS))
def test_both_set_is_an_error_that_names_both(
    monkeypatch: pytest.MonkeyPatch, file: Path, variable: str
) -> None:
    monkeypatch.setenv(variable, URLS.get(variable, "in clear"))
    monkeypatch.setenv(f"{variable}_FILE", str(file))
    with pytest.raises(SettingsError) as refusal:
        Settings()
    assert str(refusal.value).startswith(f"{variable} and {variable}_FILE are both set")


def test_a_group_as_json_counts_as_set(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setenv("MASTERX_AUTH", json.dumps({"secret": "in clear"}))
    monkeypatch.setenv("MASTERX_AUTH__SECRET_FILE", str(file))
    with pytest.raises(SettingsError, match=r"^MASTERX_AUTH and MASTERX_AUTH__SECRET_FILE"):
        Settings()
    monkeypatch.setenv("MASTERX_AUTH", json.dumps({"issuer": "else"}))
    assert Settings().auth.secret.get_secret_value().startswith("hush")


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"a\0b"])
def test_a_file_that_cannot_be_read_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("MASTERX_KAFKA__SASL_PASSWORD_FILE", str(path))
    with pytest.raises(SettingsError) as refusal:
        Settings()
    assert str(refusal.value).startswith("MASTERX_KAFKA__SASL_PASSWORD_FILE: ")
    assert str(path) in str(refusal.value)


def test_a_setting_that_is_no_secret_has_no_twin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASTERX_GATEWAY__PORT_FILE", "/port")
    with pytest.raises(ValueError, match="port_file"):
        Settings()
