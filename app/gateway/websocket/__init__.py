"""One WebSocket connection: handshake, frames in, frames out, close.

Frames enter; decoded messages go to `intake`, and what `delivery` holds leaves as frames.
`process` imports it, and `rest` its codec.
"""
