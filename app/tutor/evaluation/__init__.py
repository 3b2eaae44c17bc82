"""Dialogues that somebody wrote down go in; what the tutor says at each turn comes out.

They take the way of a worker's messages (screening, readings, state, mode, context, providers,
ledger), with a Redis of their own, and without Kafka and MongoDB. `masterx evaluate tutor
--dialogues` imports it.

dialogues.py  the file of dialogues
readings.py   the emotion worker's agent, for one message at a time
running.py    the run: a learner for each dialogue
report.py     a line for each turn, and the figures of all
"""
