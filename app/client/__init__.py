"""What talks to masterx from outside, over the documented wire: a socket, a replay, a live view.

Only `app.cli` imports it.
"""
