"""Estimates of behaviour from interactions: learned where labels exist, derived where none do."""
