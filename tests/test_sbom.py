"""What `make dist` says that masterx contains."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
LOCK = (ROOT / "requirements" / "lock.txt").read_text()


@pytest.fixture(scope="module")
def bill() -> dict[str, Any]:
    command = [sys.executable, str(ROOT / "deploy" / "sbom.py")]
    first, again = (subprocess.check_output(command, text=True) for _ in range(2))
    assert first == again
    return json.loads(first)


def test_each_pin_of_the_lock_file_is_a_component(bill: dict[str, Any]) -> None:
    lines = re.findall(r"^([^\s#][^\\\n]*?) \\$", LOCK, re.MULTILINE)
    pins = [Requirement(line) for line in lines]
    found = {one["purl"]: one for one in bill["components"]}

    assert len(pins) == len(found) == LOCK.count("==") - LOCK.count("== '")
    for pin in pins:
        [version] = [one.version for one in pin.specifier]
        component = found[f"pkg:pypi/{pin.name.lower().replace('_', '-')}@{version}"]
        given = [one["value"] for one in component.get("properties", [])]
        assert [Requirement(f"x; {one}").marker for one in given] == [pin.marker] * bool(pin.marker)
    assert bill["dependencies"][0]["dependsOn"] == list(found)


def test_it_has_the_hash_of_every_file_that_may_be_installed(bill: dict[str, Any]) -> None:
    told = [
        hash_["content"]
        for one in bill["components"]
        for reference in one["externalReferences"]
        for hash_ in reference["hashes"]
    ]

    assert told == re.findall(r"sha256:([0-9a-f]{64})", LOCK)


def test_nearly_every_package_declares_a_licence(bill: dict[str, Any]) -> None:
    by_name = {one["name"]: one.get("licenses") for one in bill["components"]}

    assert by_name["pydantic"] == [{"expression": "MIT"}]
    assert sum(one is not None for one in by_name.values()) > 0.8 * len(by_name)
    assert bill["metadata"]["component"]["licenses"] == [{"expression": "Apache-2.0"}]
