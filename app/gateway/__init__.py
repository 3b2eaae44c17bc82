"""The edge: authenticates, validates, produces; delivers pushes.

`wire`, `outbox`, `limits`, `events`, `trace` are pure; `sockets`, `rest`, `intake` and
`delivery` are thin shells of I/O around them.
"""
