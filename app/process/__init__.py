"""What every process of ours has: exit codes, errors, logs, probes, the private status port.

Imports no other room of app/ but the client factories (`app.kafka.clients`, `app.redis.client`,
`app.mongo.client`), for its probes; every room may import it.
"""
