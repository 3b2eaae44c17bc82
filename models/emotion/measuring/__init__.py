"""How well a trained emotion model reads: figures, curves, confusions.

`masterx evaluate`, training and the nets' fitting import it; nothing that serves does.
"""
