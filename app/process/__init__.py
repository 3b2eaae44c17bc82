"""What every process of ours has: exit codes, errors, logs, probes, the private status port.

Imports no other room of app/ but `app.redis.client`; every room may import it.
"""
