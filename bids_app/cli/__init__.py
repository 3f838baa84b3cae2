"""The command line."""

from bids_app.cli.command import main

__all__ = ["main"]
