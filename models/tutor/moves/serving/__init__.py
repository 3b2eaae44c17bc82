"""From a dialogue to the probability of each move. No scipy, no torch, no data.

enters  a `dialogue.Context`: the turns so far, and the problem's text
leaves  a probability for each of the four moves
callers models/tutor/modes, the commands that train and evaluate
"""
