"""The reply guard: whether what a language model writes is fit to be said to a learner.

enters  a reply, piece by piece as it is written, and what it answers (`GuardContext`)
leaves  what may be shown, or `UnfitReply` with one reason
callers app/tutor/providers/provider_attempt.py, which lets the attempt fail; app/tutor/prompt

Everything here is pure. A piece costs about the same however long the reply is by then.
"""
