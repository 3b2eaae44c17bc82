"""Entry of a worker in tests: `python -m tests.run_worker ROLE...`.

Settings come from the environment.
"""

from __future__ import annotations

import sys

from app.settings import get_settings
from app.worker.process import run
from app.worker.role import chosen

if __name__ == "__main__":
    run(chosen(sys.argv[1:]), get_settings())
