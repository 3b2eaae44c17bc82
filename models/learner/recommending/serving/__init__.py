"""One suggestion: catalogue, choice, and what the learner answered before.

State and record enter; actions leave. `models.learner.update` imports it; it imports nothing of
`offline`.
"""
