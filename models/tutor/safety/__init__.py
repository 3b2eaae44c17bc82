"""What is for a person rather than for a language model: found before one is asked.

`screening.Screen` reads a learner's message and a model's words; `lexicon.toml` holds what it
looks for and why.
"""
