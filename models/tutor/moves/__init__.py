"""Which move a teacher makes next, learned from annotated tutoring dialogues.

`advice.next_move(context)` is what serves; `training` makes the artefact, `evaluation` measures
it. No torch: a context costs well under a millisecond of Python and numpy.
"""
