"""What decides how the tutor teaches. No network, no clock, no language model."""
