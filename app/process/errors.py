"""What an operator can put right. The text says what is wrong, where, and what to do.

OperatorError
  app.process.probes.Unavailable        a service does not answer
  app.redis.requirements.Unfit  this Redis cannot be used as it is
  app.local.embedded.ServiceFailed    an embedded service could not be started
  app.kafka.admin.TopicsUnusable      topics are not as the settings say
  app.local.supervisor.NotStarted     `masterx up` cannot go on
  app.local.llm.LocalModelMissing     the local language model is not installed
  app.client.replay.NotReplayable      a recording or a connection that cannot be used
"""

from __future__ import annotations


class OperatorError(RuntimeError):
    """Shown as its text, without a traceback."""
