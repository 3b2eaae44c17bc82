"""Readiness to learn, and how strongly to step in: two small nets, evaluated by numpy.

inputs.py        the features of both, by name, each with its confidence; what is missing is masked
readiness.py     LearningReadinessNet: attention over the features, whose weights explain it
intervention.py  InterventionNet: a cumulative link over seven grades, read as six levels
serving.py       both together, for one record
artefact.py, card.py   what is on disk, and what it says of itself
grades.py, grades.csv  how labels map to levels, with the reason of each row
figures.py       how well they do, with intervals over people
fitting/         training and evaluation (torch; nothing that serves imports it)
"""
