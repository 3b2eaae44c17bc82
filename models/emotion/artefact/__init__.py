"""The trained model on disk: weights, card, and the pointer to the promoted one."""
