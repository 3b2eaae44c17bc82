"""Screens around a reply: the learner's message before it, the model's text during it.

Texts enter; verdicts leave. The decisions are those of `models.tutor.safety`.
"""
