"""MongoDB: history and the tutor's dialogue, as documents.

The history and tutor workers, the gateway's profile, erasure and the probes import it.
"""
