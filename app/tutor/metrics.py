"""What the tutor measures. Base units; never a user id in a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20, 45, 90)
_OVERHEAD = (0.001, 0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 1)

REQUESTS = Counter(
    "masterx_tutor_requests_total", "Requests by outcome (answered, or why not)", ["outcome"]
)
ATTEMPTS = Counter(
    "masterx_tutor_attempts_total",
    "Times a provider was asked, by outcome (answered, cancelled, or the failure's kind)",
    ["provider", "outcome"],
)
UNFIT = Counter(
    "masterx_tutor_unfit_total",
    "Answers that the reply guard has stopped, by why they were unfit",
    ["provider", "reason"],
)
ENDINGS = Counter(
    "masterx_tutor_endings_total",
    "Answers that ended, by what the provider calls it (a few unknown names, then `other`)",
    ["provider", "ending"],
)
DENIED = Gauge(
    "masterx_tutor_denied",
    "1 from a refused key or a spent quota until the provider's next answer",
    ["provider"],
)
IN_FLIGHT = Gauge("masterx_tutor_requests_in_flight", "Requests without an answer yet")
STREAMS = Gauge("masterx_tutor_streams", "Streams open to a provider", ["provider"])
QUEUED = Gauge("masterx_tutor_queued", "Attempts that wait for a free stream", ["provider"])
CIRCUIT = Gauge("masterx_tutor_circuit_open", "1 while a provider's circuit is open", ["provider"])
DISPATCH_SECONDS = Histogram(
    "masterx_tutor_dispatch_seconds",
    "From a request to the moment its first provider is asked",
    buckets=_OVERHEAD,
)
FIRST_TEXT_SECONDS = Histogram(
    "masterx_tutor_first_text_seconds",
    "From asking a provider to its first text",
    ["provider"],
    buckets=_SECONDS,
)
ANSWER_SECONDS = Histogram(
    "masterx_tutor_answer_seconds", "From a request to its answer or failure", buckets=_SECONDS
)
SUPERSEDED = Counter(
    "masterx_tutor_superseded_total", "Answers that broke off after the learner had seen a part"
)
HEDGES = Counter(
    "masterx_tutor_hedges_total",
    "Second providers asked because the first was late, by outcome (won, lost)",
    ["outcome"],
)
TOKENS = Counter("masterx_tutor_tokens_total", "Tokens used", ["provider", "kind"])
COST = Counter("masterx_tutor_cost_dollars_total", "What they cost", ["provider"])
STORE_FAILED = Counter(
    "masterx_tutor_store_failed_total", "Calls to Redis that failed after an answer", ["call"]
)
PREPARED_SECONDS = Histogram(
    "masterx_tutor_prepared_seconds",
    "From reading a request to the moment its prompt is given to the router",
    buckets=_OVERHEAD,
)
REPLIES = Counter("masterx_tutor_replies_total", "Final replies", ["status"])
PUT_OFF = Counter("masterx_tutor_put_off_total", "Requests put off, by reason", ["reason"])
LOST = Counter(
    "masterx_tutor_claims_lost_total", "Requests that another worker took over, or an erasure"
)
FEEDBACK = Counter("masterx_tutor_feedback_total", "Feedback on replies", ["outcome"])
