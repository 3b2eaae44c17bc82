"""What every process of ours has: exit codes, errors, logs, probes, the private status port.

Every room may import it. Its probes import the client factories of Kafka, Redis and MongoDB.
"""
