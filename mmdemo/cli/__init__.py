"""The command line: typer commands over serving, models, data, evaluate and train.

Nothing heavy is imported before a command runs, so that ``--help`` answers at once.
"""

from mmdemo.cli.program import app, main

__all__ = ["app", "main"]
