"""What the gateway measures. Base units; never a user id in a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 20)

CONNECTIONS = Gauge(
    "masterx_gateway_connections", "Open WebSockets, and polls for pushes that wait"
)
MESSAGES = Counter(
    "masterx_gateway_messages_total",
    "Client messages, by door (websocket, rest), type and outcome (accepted, or the error's code)",
    ["door", "type", "outcome"],
)
ACK_SECONDS = Histogram(
    "masterx_gateway_ack_seconds",
    "From a message's receipt to its acknowledgement by Kafka",
    ["type"],
    buckets=_LATENCY,
)
PRODUCE_HELD = Gauge(
    "masterx_gateway_produce_held_records", "Records not yet acknowledged by Kafka"
)
PRODUCE_FAILED = Counter("masterx_gateway_produce_failed_total", "Records that Kafka did not take")
DUPLICATES = Counter("masterx_gateway_duplicates_total", "Events recognised as accepted before")
REJECTED = Counter(
    "masterx_gateway_rejected_interactions_total",
    "Interactions left out of a batch whose others were accepted",
)
PUSHES = Counter("masterx_gateway_pushes_total", "Pushes handed to connections", ["kind"])
CONFLATED = Counter(
    "masterx_gateway_conflated_total", "Pushes that a newer one took the place of, for slow clients"
)
OUTBOX_BYTES = Gauge("masterx_gateway_outbox_bytes", "Unsent bytes of all connections")
RESUMES = Counter(
    "masterx_gateway_resumes_total", "Answers to resume, and to polls with a place", ["recovered"]
)
GAPS = Counter("masterx_gateway_gaps_total", "Gaps in pub/sub that were filled from the push log")
CLOSES = Counter("masterx_gateway_closes_total", "Closed WebSockets, by close code", ["code"])
HANDSHAKES = Gauge(
    "masterx_gateway_handshakes",
    "Connections that have not come in: no whole request, no token yet",
)
HANDSHAKES_REFUSED = Counter(
    "masterx_gateway_handshakes_refused_total",
    "Connections ended before they came in, by reason (timeout, full, headers)",
    ["reason"],
)
REPLACED = Counter(
    "masterx_gateway_replaced_total", "Silent connections that made way for a newer one"
)
LOOP_LAG_SECONDS = Gauge(
    "masterx_gateway_loop_lag_seconds", "Worst delay of the event loop in the last seconds"
)
