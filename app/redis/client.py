"""Every Redis client that masterx opens, and what an error of Redis means.

`connect(settings, "gateway")` gives a client whose connections leave a server that is no primary
any more: after a failover the old primary often lives on as a replica, and answers on the
connections that it has. The first answer that shows it (READONLY, LOADING, MASTERDOWN, ...), or
a call without an answer, makes every connection of the client connect anew before its next use.

`meaning` sorts errors into the three kinds of `agents.runtime.retrying`: wait, give up this record,
end this process. The client itself raises redis.exceptions.RedisError as it comes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import (
    AbstractConnection,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialWithJitterBackoff
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    BusyLoadingError,
    ClusterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from agents.runtime.retrying import Fatal, Refused, Retriable, StoreError
from app.process.errors import Rejected
from app.process.tls import Fault, client_context, fault_of
from app.redis.settings import PREFIX, RedisSettings

STORE: Final = "redis"
SETTING: Final = f"{PREFIX}URL"


@dataclass(frozen=True, slots=True)
class Policy:
    """How a client behaves.

    Attributes:
        connections: at most; who comes when all are in use waits `timeout` for one.
        retries: of a call whose connection was lost. 0 where a call must not run twice.
        timeout: seconds for one answer, for a connection to open, and for one to be free.
        health_check: seconds of silence after which a connection is asked before it is used.
    """

    connections: int
    retries: int
    timeout: float
    health_check: float = 30.0


PolicyName = Literal["gateway", "push", "tutor", "accounts", "listening", "heartbeat", "operator"]

POLICIES: Final[dict[PolicyName, Policy]] = {
    # All that a gateway asks is harmless to ask again.
    "gateway": Policy(connections=32, retries=2, timeout=5.0),
    # Push log, ledger, conversations: their scripts may run twice. Hundreds come at once.
    "push": Policy(connections=64, retries=3, timeout=5.0),
    "tutor": Policy(connections=64, retries=3, timeout=5.0),
    # Budgets, health of providers, outcomes: a reservation must not be made twice.
    "accounts": Policy(connections=16, retries=0, timeout=5.0),
    "listening": Policy(connections=2, retries=0, timeout=5.0),
    "heartbeat": Policy(connections=1, retries=0, timeout=2.0),
    # One command of `masterx`: doctor, forget, up.
    "operator": Policy(connections=4, retries=1, timeout=5.0),
}


def connect(settings: RedisSettings, policy: PolicyName, *, timeout: float | None = None) -> Redis:
    """A client that behaves as the policy says. Opens nothing yet; close it with `aclose`.

    timeout: in place of the policy's, where a setting gives it

    Raises app.process.tls.UnusableFile.
    """
    chosen = POLICIES[policy]
    limit = chosen.timeout if timeout is None else timeout
    security: dict[str, Any] = {}
    if settings.username is not None:
        security["username"] = settings.username
    if settings.password is not None:
        security["password"] = settings.password.get_secret_value()
    if settings.ca_file is not None:
        client_context(PREFIX, ca_file=settings.ca_file)  # redis-py reads it late, and names no one
        security["ssl_ca_certs"] = str(settings.ca_file)
    pool = FailoverPool.from_url(
        settings.url,
        max_connections=chosen.connections,
        timeout=limit,
        socket_timeout=limit,
        socket_connect_timeout=limit,
        socket_keepalive=True,
        health_check_interval=chosen.health_check,
        **security,
        retry=Retry(ExponentialWithJitterBackoff(base=0.01, cap=0.2), chosen.retries),
    )
    pool.connection_class = _WATCHING[pool.connection_class]
    return Redis.from_pool(pool)


class _Watching(AbstractConnection):
    """A connection that notices when its server is no primary, or does not answer."""

    lost_primary = False
    generation = 0

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)
        except (RedisTimeoutError, RedisError) as error:
            if isinstance(error, RedisTimeoutError) or _is_no_primary(error):
                self.lost_primary = True
            raise


class _WatchingConnection(_Watching, Connection):
    pass


class _WatchingSSLConnection(_Watching, SSLConnection):
    pass


class _WatchingUnixConnection(_Watching, UnixDomainSocketConnection):
    pass


_WATCHING: Final[dict[type[AbstractConnection], type[_Watching]]] = {
    Connection: _WatchingConnection,
    SSLConnection: _WatchingSSLConnection,
    UnixDomainSocketConnection: _WatchingUnixConnection,
}


class FailoverPool(BlockingConnectionPool):
    """Connections that all leave a server once one of them has seen it fail over.

    Attributes:
        generation: how often that was so. A connection of an earlier one connects anew.
    """

    generation = 0

    async def ensure_connection(self, connection: AbstractConnection) -> None:
        """Called before each use of a connection."""
        if isinstance(connection, _Watching) and connection.generation != self.generation:
            await connection.disconnect()
            connection.generation = self.generation
        await super().ensure_connection(connection)

    async def release(self, connection: AbstractConnection) -> None:
        """Called after each use of a connection."""
        if isinstance(connection, _Watching) and connection.lost_primary:
            connection.lost_primary = False
            # Once for all that were under way with the same server.
            if connection.generation == self.generation:
                self.generation += 1
        await super().release(connection)


async def primary(redis: Redis) -> str | None:
    """The run id of the server that the client speaks to; None where it is no primary.

    All connections of the client connect anew then. Raises redis.exceptions.RedisError.
    """
    told = {**await redis.info("server"), **await redis.info("replication")}
    if told["role"] == "master":
        return str(told["run_id"])
    pool = redis.connection_pool
    if isinstance(pool, FailoverPool):
        pool.generation += 1
    return None


# -- what an error means ----------------------------------------------------------------------

# Codes as they stand in the text of an error inside a script: Redis 6.2 puts `-READONLY` behind
# "Error running script (...)", Redis 7 has it in front. Outside of scripts redis-py cuts the code
# off and raises a class of its own.
_CODE: Final = re.compile(
    r"(?:^|-|: )(READONLY|LOADING|MASTERDOWN|CLUSTERDOWN|MOVED|ASK|TRYAGAIN|NOREPLICAS|OOM|MISCONF"
    r"|WRONGTYPE|NOPERM|NOAUTH|WRONGPASS|CROSSSLOT|BUSY)\b"
)
_NO_PRIMARY: Final = frozenset(
    {"READONLY", "LOADING", "MASTERDOWN", "CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN"}
)
_FULL: Final = {
    "OOM": "its memory is full (maxmemory)",
    "MISCONF": "it cannot write to its disk",
    "NOREPLICAS": "too few of its replicas are there (min-replicas-to-write)",
}
_DENIALS: Final = frozenset({"NOPERM", "NOAUTH", "WRONGPASS"})
_DENIED: Final = re.compile(
    r"no permissions|can't run this command|can't access at least one of the keys"
    r"|can't publish to the channel|must be called with the client already authenticated"
)
_LOGIN: Final = re.compile(r"WRONGPASS|NOAUTH|AUTH <password> called without any password")
# What a value of the wrong form under one learner's key leads to.
_SPOILT: Final = re.compile(
    r"is not an integer|is not a valid float|would overflow|maximum allowed"
)
_FAULT: Final = re.compile(r"user_script|ompiling script|nknown (Redis )?command")


def meaning(error: Exception) -> StoreError:
    """The kind of what redis-py (or the network) raised. Its text names no key and no value."""
    if isinstance(error, StoreError):
        return error
    code = _code(error)
    if _is_no_primary(error):
        return Retriable(STORE, f"it is no primary now ({code or type(error).__name__})")
    if isinstance(error, OutOfMemoryError):
        code = "OOM"
    if isinstance(error, AuthenticationError | AuthorizationError | NoPermissionError):
        code = "NOPERM"
    if code is None and (fault := fault_of(error)) is not None:
        return Fatal(STORE, fault.reason, _setting_of(fault))
    if code is None and not isinstance(error, ResponseError):
        return Retriable(STORE, f"no answer ({type(error).__name__})")
    return _of_answer(code, str(error).split("\n")[0][:200])


def rejection(settings: RedisSettings, error: BaseException) -> Rejected | None:
    """What to put right, where an error says that waiting does not help; None where it may."""
    if (fault := fault_of(error)) is not None:
        return Rejected("Redis", settings.url, fault.reason, _setting_of(fault))
    if not isinstance(error, AuthenticationError) and not _LOGIN.search(str(error)):
        return None
    reason = f"it refuses this user or password ({str(error).splitlines()[0][:200]})"
    return Rejected("Redis", settings.url, reason, settings.login_setting)


def _setting_of(fault: Fault) -> str:
    return f"{PREFIX}CA_FILE" if fault.kind == "authority" else SETTING


def _of_answer(code: str | None, text: str) -> StoreError:
    """Of an error that Redis itself answered with."""
    if code in _FULL:
        return Retriable(STORE, _FULL[code])
    if code == "WRONGTYPE" or _SPOILT.search(text):
        return Refused(STORE, "what stands under the learner's keys is of another kind")
    if code in _DENIALS or _DENIED.search(text):
        return Fatal(STORE, f"it refuses this user ({text})", SETTING)
    if code == "CROSSSLOT" or (code is None and _FAULT.search(text)):
        return Fatal(STORE, f"it does not take a command of ours ({text})", SETTING)
    return Retriable(STORE, text)


@contextmanager
def errors_told_apart() -> Iterator[None]:
    """Inside it, what Redis or the network raises leaves as one of the three kinds."""
    try:
        yield
    except (RedisError, OSError) as error:  # a TimeoutError is an OSError
        raise meaning(error) from error


def _is_no_primary(error: BaseException) -> bool:
    if isinstance(error, ReadOnlyError | BusyLoadingError | ClusterDownError | MovedError):
        return True
    return isinstance(error, TryAgainError | ResponseError) and _code(error) in _NO_PRIMARY


def _code(error: BaseException) -> str | None:
    found = _CODE.search(str(error))
    return found[1] if found else None
