"""Training and evaluation of the nets, in torch. Nothing that serves imports this package."""
