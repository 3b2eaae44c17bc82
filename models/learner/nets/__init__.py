"""Readiness to learn, and how strongly to step in: two small nets, evaluated by numpy.

serving/    both nets for one record; numpy alone
fitting/    training, evaluation and figures (torch; nothing that serves imports it)
grades.csv  how labels map to levels, with the reason of each row
"""
