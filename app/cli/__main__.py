"""`python -m app.cli` is `masterx`."""

from app.cli import main

main()
