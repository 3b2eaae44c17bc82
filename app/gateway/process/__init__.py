"""The gateway as a process: what it starts, in which order, how it is, and how it stops.

`app.cli` and `app.contracts` import it, and the gateway's rooms its metrics.
"""
