"""Structured logs. What is logged has an event id; never a text, never a token."""

from __future__ import annotations

import logging
import sys

import structlog

from app.settings import LogSettings


def configure(settings: LogSettings, **context: str) -> None:
    """Set up structlog, and the standard library's loggers through it.

    Args:
        settings: level and form.
        context: bound to every line of this process, e.g. role="learner".
    """
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Tracebacks as Python prints them. With each frame's variables, a token or a text would
        # stand in the log, and writing one would keep the event loop for seconds.
        structlog.processors.format_exc_info,
    ]
    renderer: structlog.types.Processor = (
        structlog.processors.JSONRenderer()
        if settings.json_lines
        else structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    )
    structlog.configure(
        processors=[
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(settings.level),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    structlog.contextvars.bind_contextvars(**context)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(settings.level.upper())
    # Libraries that report every fetch, request or rebalance step at info. At debug, the clients
    # of language models report whole prompts, HTTP clients the headers with the key, and
    # MongoDB's the documents.
    for noisy in (
        *("faust", "mode", "aiokafka", "kafka", "uvicorn.access", "pymongo"),
        *("httpx", "httpcore", "openai", "httpx2", "httpcore2"),
    ):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
