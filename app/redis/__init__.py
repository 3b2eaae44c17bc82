"""Redis: the one place that opens clients, and what masterx needs of a server."""
