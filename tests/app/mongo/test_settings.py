"""Combinations that cannot work are refused, and say which setting to change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import MongoSettings

REFUSED = [
    ({"url": "http://m"}, "MASTERX_MONGO__URL must begin with mongodb://"),
    ({"ca_file": "/ca"}, "MASTERX_MONGO__CA_FILE has no effect without TLS"),
    ({"certificate_file": "/c"}, "MASTERX_MONGO__CERTIFICATE_FILE has no effect without TLS"),
    ({"url": "mongodb://m/?tls=false", "tls": True}, "MASTERX_MONGO__URL says tls=false"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
def test_what_cannot_work_is_refused_with_its_variable(fields, said) -> None:
    with pytest.raises(ValidationError, match=said):
        MongoSettings(**fields)


@pytest.mark.parametrize(
    ("fields", "encrypted"),
    [
        ({}, False),
        ({"tls": True}, True),
        ({"url": "mongodb://m/?tls=true"}, True),
        ({"url": "mongodb://m/?ssl=true"}, True),
        ({"url": "mongodb+srv://m.example"}, True),
        ({"url": "mongodb+srv://m.example/?tls=false"}, False),
    ],
)
def test_whether_it_encrypts(fields, encrypted) -> None:
    assert MongoSettings(**fields).encrypted is encrypted
