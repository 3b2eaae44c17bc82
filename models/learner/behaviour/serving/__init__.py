"""Estimates of one learner, updated with each interaction.

Interactions enter; `BehaviourEstimates` leave, with their confidence. Pure and small: no numpy
array lives longer than a call.
"""
