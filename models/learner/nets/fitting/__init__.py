"""Training of the nets, in torch. Nothing that serves imports this package."""
