"""What an operator can put right. The text says what is wrong, where, and what to do.

OperatorError
  app.probes.Unavailable        a service does not answer
  app.redis.requirements.Unfit  this Redis cannot be used as it is
  app.embedded.ServiceFailed    an embedded service could not be started
  app.admin.TopicsUnusable      topics are not as the settings say
  app.supervisor.NotStarted     `masterx up` cannot go on
  app.llm.LocalModelMissing     the local language model is not installed
  app.replay.NotReplayable      a recording or a connection that cannot be used
"""

from __future__ import annotations


class OperatorError(RuntimeError):
    """Shown as its text, without a traceback."""
