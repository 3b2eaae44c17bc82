"""The tutor's instructions: versioned files, and what keeps a learner's words out of them.

`templates` reads the files, `instructions` makes the system layer of them, `fence` makes
texts harmless to stand in a prompt.
"""
