"""How the tutor answers: direct help, Socratic, encouragement, worked example.

`choice.choose` decides from `signs.signs`; every threshold is a setting.
"""
