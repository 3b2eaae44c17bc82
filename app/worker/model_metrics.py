"""What the model's serving does, as Prometheus metrics."""

from __future__ import annotations

from prometheus_client import Counter, Enum, Gauge, Histogram

from models.emotion.serving import Observer

STATUSES = ["starting", "ok", "open", "half-open", "stopped"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_TEXTS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

BATCH_TEXTS = Histogram("masterx_model_batch_texts", "Texts of one forward pass", buckets=_TEXTS)
BATCH_SECONDS = Histogram(
    "masterx_model_batch_seconds", "Time of one forward pass", buckets=_SECONDS
)
TOKENS = Counter("masterx_model_tokens_total", "Tokens that went through the model", ["kind"])
STAGE_SECONDS = Histogram(
    "masterx_model_stage_seconds", "Time of a batch outside the model", ["stage"], buckets=_SECONDS
)
CACHE = Counter("masterx_model_cache_total", "Texts looked up in the cache", ["result"])
QUEUE = Gauge("masterx_model_queue_texts", "Texts accepted and not yet answered")
STATUS = Enum("masterx_model_status", "State of the model's circuit breaker", states=STATUSES)
BATCH_TOKENS = Gauge(
    "masterx_model_batch_tokens_limit", "Padded tokens of a batch since memory ran out; 0: never"
)
UNREADABLE = Counter("masterx_model_unreadable_total", "Texts at which the model raises")


class ModelMetrics(Observer):
    """Counts what the reader tells."""

    def batch(self, texts: int, tokens: int, padded: int, seconds: float) -> None:
        """See Observer."""
        BATCH_TEXTS.observe(texts)
        BATCH_SECONDS.observe(seconds)
        TOKENS.labels("text").inc(tokens)
        TOKENS.labels("padding").inc(padded - tokens)

    def stage(self, name: str, seconds: float) -> None:
        """See Observer."""
        STAGE_SECONDS.labels(name).observe(seconds)

    def cache(self, *, hit: bool) -> None:
        """See Observer."""
        CACHE.labels("hit" if hit else "miss").inc()

    def queue(self, depth: int) -> None:
        """See Observer."""
        QUEUE.set(depth)

    def status(self, status: str) -> None:
        """See Observer."""
        STATUS.state(status)

    def out_of_memory(self, batch_tokens: int) -> None:
        """See Observer."""
        BATCH_TOKENS.set(batch_tokens)

    def batches_grew(self, batch_tokens: int) -> None:
        """See Observer."""
        BATCH_TOKENS.set(batch_tokens)

    def unreadable(self) -> None:
        """See Observer."""
        UNREADABLE.inc()
