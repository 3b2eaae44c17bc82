"""Settings of the tutor: keys stay where they are, and what is wrong is named."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.local.environment import environment
from app.settings import Settings
from app.tutor.config import ProviderSettings, TutorSettings

GROQ = {"name": "groq", "base_url": "https://api.example.org/v1", "model": "m"}


def provider(**fields) -> ProviderSettings:
    return ProviderSettings.model_validate(GROQ | fields)


def test_it_is_off_without_providers():
    assert Settings().tutor.providers == ()


def test_a_key_by_environment(monkeypatch):
    monkeypatch.setenv("GROQ_KEY", " sk-very-secret\n")
    named = provider(api_key_env="GROQ_KEY")
    assert named.read_key().get_secret_value() == "sk-very-secret"
    assert "very-secret" not in repr(named.read_key()) + repr(named) + named.model_dump_json()


def test_a_key_by_file(tmp_path):
    (tmp_path / "key").write_text("sk-very-secret\n")
    found = provider(api_key_file=tmp_path / "key").read_key()
    assert found.get_secret_value() == "sk-very-secret"


def test_a_key_that_is_not_there_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("GROQ_KEY", raising=False)
    with pytest.raises(ValueError, match="groq: no key in variable GROQ_KEY"):
        provider(api_key_env="GROQ_KEY").read_key()
    with pytest.raises(ValueError, match=r"groq: no key in file .*absent"):
        provider(api_key_file=tmp_path / "absent").read_key()
    (tmp_path / "empty").write_text(" \n")
    with pytest.raises(ValueError, match="empty"):
        provider(api_key_file=tmp_path / "empty").read_key()


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"base_url": "http://api.example.org/v1", "api_key_env": "K"}, "needs https"),
        ({"base_url": "ftp://api.example.org"}, "should be http"),
        ({"base_url": "api.example.org/v1"}, "should be http"),
        ({"base_url": "https://me:word@api.example.org"}, "holds a password"),
        ({"api_key_env": "K", "api_key_file": "/k"}, "not both"),
        ({"name": "a|b"}, "name"),
        ({"api_key": "sk-very-secret"}, "api_key"),
    ],
)
def test_what_cannot_be_used_is_named(fields, said):
    with pytest.raises(ValidationError, match=said):
        provider(**fields)


@pytest.mark.parametrize("host", ["127.0.0.1:8080", "localhost", "[::1]:80"])
def test_on_this_machine_a_key_may_travel_in_clear(host):
    assert provider(base_url=f"http://{host}/v1", api_key_env="K")


def test_two_of_one_name():
    with pytest.raises(ValidationError, match="same name"):
        TutorSettings(providers=[GROQ, GROQ])


def test_providers_survive_the_environment(monkeypatch):
    monkeypatch.setenv("SOME_KEY", "sk-very-secret")
    fields = GROQ | {"api_key_env": "SOME_KEY", "extra_body": {"top_k": 5}, "input_price": 0.05}
    settings = Settings(tutor=TutorSettings(providers=[fields]))
    variables = environment(settings)
    assert "very-secret" not in str(variables)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert Settings() == settings


def test_a_key_may_be_in_the_file_that_its_variables_twin_names(monkeypatch, tmp_path):
    provider = ProviderSettings(name="a", base_url="https://a", model="m", api_key_env="A_KEY")
    file = tmp_path / "key"
    file.write_text("sk-of-a-file\n")
    monkeypatch.delenv("A_KEY", raising=False)
    monkeypatch.setenv("A_KEY_FILE", str(file))
    assert provider.read_key().get_secret_value() == "sk-of-a-file"
    monkeypatch.setenv("A_KEY", "sk-in-clear")
    with pytest.raises(ValueError, match="A_KEY and A_KEY_FILE are both set"):
        provider.read_key()
    monkeypatch.delenv("A_KEY")
    file.unlink()
    with pytest.raises(ValueError, match=r"A_KEY_FILE: cannot read .*key"):
        provider.read_key()
