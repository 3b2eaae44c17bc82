"""Combinations that cannot work are refused, and say which setting to change."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from app.settings import RedisSettings

URL = "rediss://r:6380/0"
REFUSED = [
    ({"url": "http://r"}, "MASTERX_REDIS__URL must begin with redis://"),
    ({"url": "redis://r", "ca_file": "/ca"}, "begin MASTERX_REDIS__URL with rediss://"),
    ({"url": "redis://:p@r", "password": "p"}, "MASTERX_REDIS__URL and MASTERX_REDIS__PASSWORD"),
    ({"url": "redis://u:p@r", "username": "u"}, "MASTERX_REDIS__URL and MASTERX_REDIS__USERNAME"),
    ({"url": URL, "username": "u"}, "set MASTERX_REDIS__PASSWORD: MASTERX_REDIS__USERNAME"),
]


@pytest.mark.parametrize(("fields", "said"), REFUSED)
def test_what_cannot_work_is_refused_with_its_variable(fields, said) -> None:
    with pytest.raises(ValidationError, match=said):
        RedisSettings(**fields)


def test_what_can_work_is_taken() -> None:
    settings = RedisSettings(url=URL, username="u", password="p", ca_file="/ca")
    assert settings.encrypted
    assert settings.login_setting == "MASTERX_REDIS__PASSWORD"
    assert RedisSettings(url="redis://u:p@r").login_setting == "MASTERX_REDIS__URL"
    assert not RedisSettings(url="unix:///run/redis.sock").encrypted
