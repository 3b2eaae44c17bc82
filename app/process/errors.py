"""What an operator can put right. The text says what is wrong, where, and what to do.

OperatorError
  Unavailable                           a service does not answer; it may later
  Misconfigured                         settings that cannot work here; waiting does not help
    Rejected                            a service answers, and does not take this client
    app.process.tls.UnusableFile        a certificate or key that cannot be used
  app.redis.requirements.Unfit          this Redis cannot be used as it is
  app.local.embedded.ServiceFailed      an embedded service could not be started
  app.kafka.admin.TopicsUnusable        topics are not as the settings say
  app.local.supervisor.NotStarted       `masterx up` cannot go on
  app.local.llm.LocalModelMissing       the local language model is not installed
  app.kafka.redrive.Stalled             a topic could not be read to its end
  app.analysis.reading.UnknownTopic     no topic of that name holds records for readers
  app.analysis.reading.Unreadable       a record that is not what its topic holds
  app.client.replay.NotReplayable       a recording or a connection that cannot be used
"""

from __future__ import annotations

import re
from typing import Final


class OperatorError(RuntimeError):
    """Shown as its text, without a traceback."""


class Unavailable(OperatorError):
    """A service that does not answer."""

    def __init__(self, service: str, endpoint: str, reason: str, setting: str) -> None:
        self.service = service
        self.endpoint = without_password(endpoint)
        self.reason = reason
        super().__init__(
            f"{service} does not answer at {self.endpoint} ({reason}). "
            f"Start it there, or name another place in {setting}."
        )


class Misconfigured(OperatorError):
    """Settings that cannot work here: a process ends with Exit.CONFIG."""


class Rejected(Misconfigured):
    """A service that answers, and does not take this client: certificate, name, password.

    Args:
        setting: the variable to put right.
        reason: what the service or TLS said, and what to do.
    """

    def __init__(self, service: str, endpoint: str, reason: str, setting: str) -> None:
        self.setting = setting
        self.reason = reason
        super().__init__(f"{setting}: {service} at {without_password(endpoint)}: {reason}")


_CREDENTIALS: Final = re.compile(r"(?<=://).*@", re.DOTALL)
_SECRET_OPTIONS: Final = re.compile(
    r"(?<=[?&])(password|tlsCertificateKeyFilePassword|authMechanismProperties)=[^&]*",
    re.IGNORECASE,
)


def without_password(endpoint: str) -> str:
    """A URL without its credentials, fit for a log or a message."""
    # Up to the last @: a password that nobody escaped may hold a slash or an @ of its own.
    return _SECRET_OPTIONS.sub(r"\1=***", _CREDENTIALS.sub("", endpoint))
