"""Everything on one machine: `masterx up`, the embedded servers, the doctor, a small model.

Nothing here runs in production. Only `app.cli` imports it.
"""
