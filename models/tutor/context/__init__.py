"""What the language model gets to see: layers, packed into a budget of tokens.

`material` says what goes in and what comes out, `packing.pack` does it, `weights` learns
which layers help, `summary` compresses old turns, `notes` words what is known of a learner.
"""
