"""``qsm``: the stages of the pipeline one at a time, on loose NIfTI files."""

from bids_app.cli.stages.command import main

__all__ = ["main"]
