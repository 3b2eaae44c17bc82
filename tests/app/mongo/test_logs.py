"""What stores do is logged without what they hold."""

from __future__ import annotations

import logging

import pytest
import structlog
from pymongo import AsyncMongoClient

from app.process.logs import configure
from app.settings import LogSettings
from tests.servers import Server


@pytest.mark.parametrize("json_lines", [True, False])
def test_a_traceback_shows_no_variables(json_lines: bool, capsys: pytest.CaptureFixture) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure(LogSettings(json_lines=json_lines))
    try:
        token = "-".join(["a", "private", "token"])
        try:
            raise RuntimeError("it went wrong" if token else "")
        except RuntimeError:
            logging.getLogger("of.a.library").exception("a library reports")
            structlog.get_logger("ours").exception("we.report")
    finally:
        root.handlers[:], root.level = handlers, level
        structlog.reset_defaults()
    told = capsys.readouterr().err
    assert told.count("RuntimeError: it went wrong") == 2
    assert "a-private-token" not in told


async def test_documents_do_not_reach_the_log_even_at_debug(
    mongo_server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure(LogSettings(level="debug"))
    root.addHandler(caplog.handler)
    try:
        async with AsyncMongoClient(mongo_server.endpoint) as client:
            notes = client["logs-test"].notes
            await notes.insert_one({"text": "a private sentence", "userId": "ada-lovelace"})
            assert await notes.find_one({"userId": "ada-lovelace"})
            await client.drop_database("logs-test")
        logging.getLogger("test").debug("something was logged")
    finally:
        root.handlers[:], root.level = handlers, level
    assert "something was logged" in caplog.text
    assert "private" not in caplog.text
    assert "ada-lovelace" not in caplog.text
