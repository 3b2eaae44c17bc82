"""From a learner's push log to the frames of each of the learner's connections.

Pushes enter from Redis; queued frames leave. `websocket` and `process` import it.
"""
