"""Combinations that cannot work are refused, and say which setting to change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import KafkaSettings, Settings

LOGIN = {"sasl_username": "ada", "sasl_password": "secret-word"}
TLS = {"security_protocol": "SSL"}
SASL = {"security_protocol": "SASL_SSL"}
REFUSED = [
    (SASL, "set MASTERX_KAFKA__SASL_MECHANISM to PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTH"),
    (SASL | {"sasl_mechanism": "PLAIN"}, "set MASTERX_KAFKA__SASL_USERNAME: PLAIN needs it"),
    (
        SASL | {"sasl_mechanism": "PLAIN", "sasl_username": "ada"},
        "set MASTERX_KAFKA__SASL_PASSWORD: PLAIN needs it",
    ),
    (
        SASL | {"sasl_mechanism": "SCRAM-SHA-512", **LOGIN, "sasl_password": ""},
        "set MASTERX_KAFKA__SASL_PASSWORD: SCRAM-SHA-512 needs it",
    ),
    (SASL | {"sasl_mechanism": "OAUTHBEARER"}, "set MASTERX_KAFKA__OAUTH_TOKEN_FILE"),
    (
        SASL | {"sasl_mechanism": "OAUTHBEARER", "oauth_token_file": "/t", **LOGIN},
        "MASTERX_KAFKA__SASL_PASSWORD has no effect with OAUTHBEARER",
    ),
    (
        SASL | {"sasl_mechanism": "PLAIN", **LOGIN, "oauth_token_file": "/t"},
        "MASTERX_KAFKA__OAUTH_TOKEN_FILE has no effect with PLAIN",
    ),
    (LOGIN, "MASTERX_KAFKA__SASL_USERNAME has no effect with MASTERX_KAFKA__SECURITY_PROTOCOL"),
    (TLS | LOGIN, "set that to SASL_SSL"),
    ({"ca_file": "/ca"}, "MASTERX_KAFKA__CA_FILE has no effect with .*PLAINTEXT: set that to SSL"),
    ({"certificate_file": "/c"}, "MASTERX_KAFKA__CERTIFICATE_FILE has no effect"),
    (TLS | {"key_file": "/k"}, "set MASTERX_KAFKA__CERTIFICATE_FILE: MASTERX_KAFKA__KEY_FILE"),
    (TLS | {"key_password": "p"}, "MASTERX_KAFKA__KEY_PASSWORD belongs to it"),
    (SASL | {"sasl_mechanism": "GSSAPI"}, "SCRAM-SHA-512"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
def test_what_cannot_work_is_refused_with_its_variable(fields, said) -> None:
    with pytest.raises(ValidationError, match=said) as refusal:
        KafkaSettings(**fields)
    problems = [problem["msg"] for problem in refusal.value.errors()]
    assert not any("secret-word" in problem for problem in problems)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        TLS,
        TLS | {"ca_file": "/ca", "certificate_file": "/c", "key_file": "/k", "key_password": "p"},
        SASL | {"sasl_mechanism": "PLAIN", **LOGIN},
        {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-256", **LOGIN},
        SASL | {"sasl_mechanism": "OAUTHBEARER", "oauth_token_file": "/t", "ca_file": "/ca"},
    ],
)
def test_what_can_work_is_taken(fields) -> None:
    settings = KafkaSettings(**fields)
    assert "secret-word" not in repr(settings) + settings.model_dump_json()


def test_the_embedded_broker_knows_no_tls() -> None:
    with pytest.raises(ValidationError, match="set MASTERX_KAFKA__BOOTSTRAP"):
        Settings(kafka=KafkaSettings(security_protocol="SSL"))
    Settings(kafka=KafkaSettings(security_protocol="SSL", bootstrap="k:9093"))
