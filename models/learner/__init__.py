"""A learner's state: what the evidence adds up to."""
