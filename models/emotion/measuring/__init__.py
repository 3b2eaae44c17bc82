"""How well a trained emotion model reads: figures, curves, confusions.

Only `masterx evaluate`, training and the tests import it.
"""
