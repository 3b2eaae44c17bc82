"""The tutor: who wrote and how they are go in; a stream of checked text comes out, or silence.

replies/    one reply from request to record
screening/  what must not be said, and what needs a human
prompt/     what the model is told
providers/  one model asked, with its limits, failures and dialects
usage/      what attempts cost and how they turned out
wiring.py   the parts of all these, put together

The tutor role and erasure import it, and `app.settings` its settings.
"""
