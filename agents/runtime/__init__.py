"""What agents have in common: envelopes, batches, the in-flight window, retries, ports.

Knows no agent. Every agent imports it, and app/ gives it what the ports ask for.
"""
