"""What talks to masterx from outside: over the documented wire, or by reading its topics.

learner    a learner's connection for your programs: record, say, watch (docs/python.md)
connection what it stands on: one that comes back, resumes, and sends again
gateway    a socket to a gateway
replay     a recorded session, sent again
live       a learner's state as it changes
decisions  a deployment's decision log, as a file

Only `app.cli` imports it, and your programs.
"""
