"""Fitting and judging a policy from a deployment's decision log.

Only `masterx train`, `masterx evaluate` and `app.client.decisions` import it.
"""
