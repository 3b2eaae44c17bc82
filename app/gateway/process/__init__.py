"""The gateway as a process: what it starts, in which order, how it is, and how it stops.

Only `app.cli` and `app.contracts` import it.
"""
