"""The edge: messages come in over WebSocket and REST, pushes go out.

What enters: what a page sends, and pushes from Redis. What leaves: records on `interactions`,
`chat-messages` and `feedback`, and frames on sockets. Only `app.cli` and `app.contracts` import it.

auth/       who is speaking
websocket/  one connection, its frames and its close
rest/       the same over HTTP
intake/     from a message to an acknowledged record
delivery/   from a push to a frame
process/    the server itself: start, health, stop
"""
