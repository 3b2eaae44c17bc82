"""From the learner's state and conversation to the prompt, in named layers.

The texts are those of `models.tutor.prompts`.
"""
