"""The command line; one file for each group of commands."""

from gcnas.cli.app import main

__all__ = ["main"]
