"""Which move a teacher makes next, learned from annotated tutoring dialogues.

    serving     the features, the model and its artefact: what a tutor worker loads
    training    MathDial's file, the fit and its figures: what `masterx train tutor-moves` runs

`serving.artefact.shipped().probabilities(context)` is what the choice of a mode asks. No torch: a
context costs well under a millisecond of Python and numpy.
"""
