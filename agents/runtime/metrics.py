"""What a worker measures. Base units; never a user id in a label."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LATENCY = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

RECORDS = Counter(
    "masterx_records_total", "Records consumed, by what became of them", ["topic", "outcome"]
)
STAGE_SECONDS = Histogram(
    "masterx_stage_seconds", "Time of one record in one stage", ["stage"], buckets=_LATENCY
)
SINCE_INGEST_SECONDS = Histogram(
    "masterx_since_ingest_seconds",
    "From the gateway's receipt of an event to the end of a stage",
    ["stage"],
    buckets=_LATENCY,
)
BATCH_RECORDS = Histogram(
    "masterx_batch_records", "Records written at once", ["stage"], buckets=_SIZES
)
DEAD_LETTERS = Counter(
    "masterx_dead_letters_total", "Records that could not be processed", ["topic", "error"]
)
RETRIES = Counter("masterx_sink_retries_total", "Writes to a store that were tried again", ["sink"])
WAITING = Gauge("masterx_store_waiting_writes", "Writes that wait for a store", ["store"])
WAITING_SECONDS = Gauge(
    "masterx_store_waiting_seconds", "How long a store has been waited for; 0: it is not", ["store"]
)
DUPLICATES = Counter(
    "masterx_duplicates_total", "Events left out because their ids had been applied", ["topic"]
)
LATE = Counter("masterx_late_events_total", "Events older than the lateness bound")
CLAMPED = Counter("masterx_clamped_events_total", "Events dated in the future, and clamped")
IN_FLIGHT = Gauge("masterx_in_flight_records", "Records read and not yet acknowledged", ["role"])
LAG = Gauge("masterx_lag_records", "Records not yet acknowledged", ["role", "topic", "partition"])
ACKNOWLEDGED = Counter(
    "masterx_acknowledged_total", "Records acknowledged, in offset order", ["role"]
)
TABLE_RECORDS = Gauge("masterx_table_records", "Records in the table of this worker")
TABLE_CORRUPT = Counter(
    "masterx_table_corrupt_total", "Records of the table that recovery could not read"
)
RECORD_FORMAT = Gauge("masterx_record_format", "Format that this worker writes its records in")
TABLE_REPAIRED = Counter(
    "masterx_table_repaired_total", "Records whose newest version recovery wrote again"
)
