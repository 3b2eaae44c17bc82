"""What travels: the messages on topics and on the wire.

Imports nothing else of ours. JSON Schema and AsyncAPI are generated from here
(`masterx export-schemas`).
"""
