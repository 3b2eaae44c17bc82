"""The contracts of a release: JSON Schema, AsyncAPI and OpenAPI, written from the code.

Only `app.cli` imports it.
"""
