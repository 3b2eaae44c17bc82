"""Fitting and measuring the behaviour estimators on recorded learners.

Only `masterx train` and `masterx evaluate` import it.
"""
