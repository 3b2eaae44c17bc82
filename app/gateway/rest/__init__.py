"""The same messages over HTTP, the learner's profile, and the OpenAPI document.

Requests enter; records go to `intake`, documents leave. `process` imports it.
"""
