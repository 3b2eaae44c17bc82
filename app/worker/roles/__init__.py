"""The worker roles, a module each: which topics it reads and what it needs around it.

Only the module of the role that runs is imported: torch stays out of the others.
"""
