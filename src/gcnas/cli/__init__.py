"""The command line; one file for each group of commands."""

import os
import sys

if os.name == "nt":
    sys.exit("error: gcnas needs Linux or macOS; on Windows use it within WSL.")

from gcnas.cli.app import main

__all__ = ["main"]
