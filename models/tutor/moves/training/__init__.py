"""How the artefact comes about, and how well it does on dialogues left out.

enters  MathDial's JSON lines
leaves  an artefact with its card, or a report
callers `masterx train tutor-moves` and `masterx evaluate tutor` only
"""
