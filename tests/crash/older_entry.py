"""A worker of a release before version 1 of the schemas: `python -m tests.crash.older_entry ROLE`.

It reads version 0 alone, so that what this release writes is unknown to it.
"""

from __future__ import annotations

import runpy

import schemas.base

if __name__ == "__main__":
    # Before anything else is imported that takes the number from there.
    schemas.base.SCHEMA_VERSION = 0  # type: ignore[misc,assignment]
    runpy.run_module("tests.crash.worker_entry", run_name="__main__")
