"""How masterx spells its Redis keys, so that one learner's keys lie in one slot of a cluster.

    mx:push:{ada}:log          area "push", learner ada, name "log"
    mx:{tutor}:parked          area "tutor", of all learners

Redis Cluster hashes what stands between the first pair of braces. A user id may hold braces of its
own, so they are escaped.
"""

from __future__ import annotations

from app.settings import RedisSettings

_ESCAPED = str.maketrans({"%": "%25", "{": "%7B", "}": "%7D"})


class Keys:
    """The keys of one area.

    Args:
        settings: give the prefix.
        area: what the keys are for; the same for every release.
    """

    def __init__(self, settings: RedisSettings, area: str) -> None:
        self._prefix = settings.prefix
        self._area = area

    def user(self, user_id: str) -> str:
        """What a learner's keys begin with; also a channel's name."""
        return f"{self._prefix}:{self._area}:{{{user_id.translate(_ESCAPED)}}}"

    def of_user(self, user_id: str, name: str) -> str:
        """A learner's key."""
        return f"{self.user(user_id)}:{name}"

    def shared(self, name: str) -> str:
        """A key of all learners. One slot holds all of an area's."""
        return f"{self._prefix}:{{{self._area}}}:{name}"

    @property
    def users(self) -> str:
        """A pattern that matches the keys of every learner, for SCAN."""
        return f"{self._prefix}:{self._area}:*"
