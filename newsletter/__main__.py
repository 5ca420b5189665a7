"""Lets `python -m newsletter` do what the `newsletter` command does."""

from newsletter.cli.main import main

main()
