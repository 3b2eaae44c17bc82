"""What masterx does for the people behind the data: erasure.

`app.cli` imports it.
"""
