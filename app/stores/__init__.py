"""Redis and MongoDB: push log, heartbeats, history."""
