"""MongoDB with TLS and a login: FerretDB, which has TLS but knows no passwords.

It takes any user with the mechanism PLAIN and refuses those of every other with MongoDB's own
error for a wrong password (18); so that error is a real server's, the password is not.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pymongo.errors import PyMongoError

from agents.runtime.retrying import Fatal
from app.local.children import spawn, tail, terminate
from app.local.embedded import free_port
from app.mongo.client import connect
from app.mongo.errors import meaning
from app.mongo.history import HistoryStore
from app.process.errors import Rejected, Unavailable
from app.process.probes import probe_mongo, until
from app.process.tls import UnusableFile
from app.settings import MongoSettings
from tests.certificates import Authority
from tests.servers import services_script

real = [pytest.mark.services, pytest.mark.slow]

HOST = "127.0.0.1"


class SecuredMongo:
    """FerretDB with a listener for TLS. With `asks`, clients must show a certificate."""

    def __init__(self, folder: Path, authority: Authority, *, asks: bool) -> None:
        self.authority = authority
        self.tls_port, self._port = free_port(HOST), free_port(HOST)
        issued = authority.issue("mongo", HOST)
        data = folder / "data"
        data.mkdir(parents=True)
        self._log = folder / "mongo.log"
        self._command = [
            services_script().FOLDER / "mongo" / "ferretdb",
            *("-listen", f"{HOST}:{self._port}", "-tls", f"{HOST}:{self.tls_port}"),
            *("-certificate", issued.certificate, "-key", issued.key, "-data", data),
            *(("-ca", authority.ca_file) if asks else ()),
        ]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        if not self._command[0].exists():
            pytest.skip("no FerretDB here: run `make services`")
        process = self._process = spawn(self._command, self._log)
        plain = MongoSettings(url=f"mongodb://{HOST}:{self._port}")
        try:
            await until(lambda: probe_mongo(plain), 30, alive=lambda: process.poll() is None)
        except Unavailable:
            said = tail(self._log)
            if "flag provided but not defined: -tls" in said:
                pytest.skip("FerretDB was built before it had -tls: make services-stop services")
            raise AssertionError(said) from None

    async def stop(self) -> None:
        if self._process is not None:
            await terminate(self._process, 10)

    def settings(self, login: str = "", host: str = HOST, query: str = "", **fields):
        url = f"mongodb://{login}{host}:{self.tls_port}/{query}"
        return MongoSettings(
            **({"url": url, "tls": True, "ca_file": self.authority.ca_file} | fields)
        )


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "ca")


@pytest.fixture(params=[False, True], ids=["", "asks for certificates"])
async def server(
    request: pytest.FixtureRequest, tmp_path: Path, authority: Authority
) -> AsyncIterator[SecuredMongo]:
    started = SecuredMongo(tmp_path / "mongo", authority, asks=request.param)
    started.asks = request.param
    await started.start()
    yield started
    await started.stop()


class TestAgainstFerretDB:
    pytestmark = real

    async def test_history_is_written_through_tls_with_a_login(
        self, server: SecuredMongo, authority: Authority
    ) -> None:
        own = authority.issue("client").both if server.asks else None
        for login, query in (("", ""), ("ada:right@", "?authMechanism=PLAIN")):
            settings = server.settings(login, query=query, certificate_file=own)
            await probe_mongo(settings)
            store = HistoryStore(settings)
            await store.prepare()
            await store.close()
            client = connect(settings, find_within=5)
            assert "states" in await client[settings.database].list_collection_names()
            await client.close()

    async def test_each_refusal_names_its_setting(
        self, server: SecuredMongo, authority: Authority, tmp_path: Path
    ) -> None:
        stranger = Authority(tmp_path / "stranger")
        own = {"certificate_file": authority.issue("client").both} if server.asks else {}
        wrong = {
            "CA_FILE": server.settings(**own | {"ca_file": stranger.ca_file}),
            "URL": server.settings(host="localhost", **own),
        }
        cases = [*wrong.items(), ("URL", server.settings("ada:wrong-one@", **own))]
        cases.append(("CA_FILE", server.settings(**own | {"ca_file": None})))
        for setting, settings in cases:
            with pytest.raises(Rejected) as refusal:
                await probe_mongo(settings, within=3)
            said = str(refusal.value)
            assert said.startswith(f"MASTERX_MONGO__{setting}: MongoDB at mongodb://"), said
            assert "wrong-one" not in said
            assert await self.meaning_of(settings) is Fatal, said

    async def test_without_the_certificate_that_it_asks_for_nobody_is_let_in(
        self, server: SecuredMongo, tmp_path: Path
    ) -> None:
        """TLS 1.3 tells so after the handshake, and PyMongo only that the connection closed."""
        if not server.asks:
            pytest.skip("it asks for none")
        other = Authority(tmp_path / "stranger").issue("client").both
        for settings in (server.settings(), server.settings(certificate_file=other)):
            with pytest.raises((Rejected, Unavailable), match="MASTERX_MONGO__"):
                await probe_mongo(settings, within=3)

    async def meaning_of(self, settings: MongoSettings) -> type:
        client = connect(settings, find_within=2)
        try:
            await client.admin.command("ping")
        except PyMongoError as error:
            return type(meaning(error))
        finally:
            await client.close()
        raise AssertionError("it was let in")


def test_a_file_or_a_url_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    async def connecting(**fields) -> None:
        connect(MongoSettings(**fields), find_within=1)

    for setting in ("ca_file", "certificate_file"):
        gone = {setting: tmp_path / "gone", "tls": True}
        with pytest.raises(UnusableFile, match=f"^MASTERX_MONGO__{setting.upper()}: cannot read"):
            asyncio.run(connecting(**gone))
    with pytest.raises(Rejected, match=r"^MASTERX_MONGO__URL: .*escape") as refusal:
        asyncio.run(connecting(url="mongodb://ada:se%cret@h"))
    assert "cret" not in str(refusal.value)
