"""What to suggest: a catalogue of actions, ranked by a policy that learns from answers."""
