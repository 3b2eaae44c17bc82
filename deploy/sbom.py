"""Print masterx's software bill of materials (CycloneDX 1.5), from the lock file.

    python deploy/sbom.py > dist/masterx.cdx.json

It lists what `make install` installs: each pin of `requirements/lock.txt`, with the hashes of its
files and the condition on which it is installed. Licences are those that the installed packages
declare; where a package is not installed or declares none, it has none here. The same lock file
gives the same bytes: the document has no number and no time of its own.

Stands alone (standard library only), beside the packages that it describes.
"""

from __future__ import annotations

import json
import re
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "requirements" / "lock.txt"

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)==(?P<version>[^\s;]+)(?:\s*;\s*(?P<marker>[^\\]+))?")
_HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
_LONGEST_NAME = 100
"""Characters of a licence's name; beyond it the field holds a whole text."""


def sbom(lock: str, project: dict[str, Any]) -> dict[str, Any]:
    """The bill of a lock file.

    Args:
        lock: text of a requirements file with `name==version`, markers and hashes.
        project: table `project` of pyproject.toml.
    """
    own = f"pkg:pypi/{project['name']}@{project['version']}"
    components = [_component(block) for block in _pins(lock)]
    references = [one["bom-ref"] for one in components]
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.5.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "lifecycles": [{"phase": "pre-build"}],
            "component": {
                "bom-ref": own,
                "type": "application",
                "name": project["name"],
                "version": project["version"],
                "description": project["description"],
                "purl": own,
                "licenses": [{"expression": project["license"]["text"]}],
            },
        },
        "components": components,
        # The lock says what is installed, and not who asked for it.
        "dependencies": [{"ref": own, "dependsOn": references}],
    }


def _pins(lock: str) -> list[str]:
    """Each pin with its hashes, as one line."""
    joined = lock.replace("\\\n", " ")
    return [line for line in joined.splitlines() if _PIN.match(line)]


def _component(line: str) -> dict[str, Any]:
    pin = _PIN.match(line)
    assert pin is not None
    name, version = pin["name"], pin["version"]
    purl = f"pkg:pypi/{name.lower().replace('_', '-')}@{version}"
    hashes = [{"alg": "SHA-256", "content": one} for one in _HASH.findall(line)]
    component: dict[str, Any] = {
        "bom-ref": purl,
        "type": "library",
        "name": name,
        "version": version,
        "purl": purl,
        # Of the wheels and the source archive: one of them is installed.
        "externalReferences": [{"type": "distribution", "url": purl, "hashes": hashes}],
    }
    if pin["marker"]:
        marker = pin["marker"].partition("--hash")[0].strip()
        component["properties"] = [{"name": "python:marker", "value": marker}]
    if licence := _licence(name):
        component["licenses"] = [licence]
    return component


def _licence(name: str) -> dict[str, Any] | None:
    try:
        declared = metadata(name)
    except PackageNotFoundError:
        return None
    if expression := declared.get("License-Expression"):
        return {"expression": expression}
    given = declared.get("License", "").strip()
    if given and "\n" not in given and len(given) <= _LONGEST_NAME:
        return {"license": {"name": given}}
    for one in declared.get_all("Classifier", []):
        if one.startswith("License :: OSI Approved :: "):
            return {"license": {"name": one.rpartition(" :: ")[2]}}
    return None


def main() -> None:
    """Print it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    bill = sbom(LOCK.read_text(encoding="utf-8"), project)
    json.dump(bill, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
