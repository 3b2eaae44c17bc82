"""Kafka: the clients, the topics, the table behind a changelog, dead letters.

Records enter and leave as bytes. Any room of app/ may import it.
"""
