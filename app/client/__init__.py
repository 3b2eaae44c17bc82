"""What talks to masterx from outside: over the documented wire, or by reading its topics.

gateway    a socket to a gateway
replay     a recorded session, sent again
live       a learner's state as it changes
decisions  a deployment's decision log, as a file

Only `app.cli` imports it.
"""
