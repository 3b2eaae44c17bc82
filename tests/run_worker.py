"""Entry of a worker in tests: `python -m tests.run_worker ROLE`; settings from the environment."""

from __future__ import annotations

import sys

from app.settings import get_settings
from app.worker.process import run

if __name__ == "__main__":
    run(sys.argv[1], get_settings())  # type: ignore[arg-type]
