"""What an erasure did, what it could not do yet, and what remains until when."""

from __future__ import annotations

from dataclasses import dataclass

from agents.runtime.topics import ERASURES, LEARNER_CHANGELOG, USER_STATE


@dataclass(frozen=True, slots=True)
class Remaining:
    """What a topic still holds of the learner; `days` at most, counted from each record."""

    topic: str
    days: float


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """What was erased, and what was not yet.

    Attributes:
        erased_at: UTC ms; records ingested up to then no longer count.
        partition, offset: of the request in topic `erasures`.
        stores: for `redis` and `mongo` None when deleted here, else why not.
        passed: for each worker role whether it has processed the request.
        trouble: why it is not known of every role, or not all of the states' tombstones were
            sent; None when all was done.
        remaining: topics that hold records of the learner until their retention ends.
        compaction: seconds until compaction may drop the learner's states (see below).
        edge: seconds that the gateway remembers ids of the learner's last messages.
    """

    user_id: str
    erased_at: int
    partition: int
    offset: int
    stores: dict[str, str | None]
    passed: dict[str, bool]
    trouble: str | None
    remaining: tuple[Remaining, ...]
    compaction: float
    edge: float

    @property
    def complete(self) -> bool:
        """Nothing is left to be done; what remains in topics goes with its retention.

        The workers delete from the same stores, so that a deletion that failed here
        is made good by a worker that has passed.
        """
        return all(self.passed.values()) and self.trouble is None

    def __str__(self) -> str:
        lines = [f"Erased {self.user_id}: request at {ERASURES}/{self.partition}/{self.offset}."]
        for store, failure in self.stores.items():
            said = "deleted" if failure is None else f"NOT deleted here ({failure})"
            lines.append(f"  {store:<8} {said}")
        for role, passed in self.passed.items():
            said = "processed" if passed else "NOT YET processed; it will when it runs"
            lines.append(f"  {role:<8} {said}")
        if self.trouble is not None:
            lines.append(f"  Kafka failed behind the request ({self.trouble}).")
            lines.append("  The request stands, and the workers obey it. Run this again.")
        elif not self.passed["learner"]:
            lines.append("  Run this again once the learner worker has caught up.")
        lines.append("Remains in Kafka until its retention ends:")
        lines += [f"  {one.topic:<18} {one.days:g} days" for one in self.remaining]
        lines.append(
            f"  {USER_STATE}, {LEARNER_CHANGELOG}: tombstone and marker written; earlier values go"
            f" with compaction, {self.compaction / 86_400:g} days from now at the earliest."
        )
        lines.append(f"The gateway remembers ids of the last messages for {self.edge:g} s.")
        lines.append("The request itself is kept as audit, without content.")
        return "\n".join(lines)
