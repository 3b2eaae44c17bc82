"""From a decoded message to an acknowledged record in Kafka.

Messages enter, with the principal who sent them; records leave, each once for an id. `websocket`,
`rest` and `process` import it.
"""
