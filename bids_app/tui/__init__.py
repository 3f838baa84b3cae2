"""The terminal app: ``qsm-bids-app tui``. Textual is imported when it starts, and not before."""

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec

from bids_app.cli.types import place
from bids_app.errors import QsmAppError, ToolMissingError, UsageError

#: How the missing package is installed.
_INSTALL = "python -m pip install 'textual>=8'"


def main(arguments: Sequence[str]) -> int:
    """Run the terminal app and return the exit code."""
    try:
        args = _parser().parse_args(arguments)
        if find_spec("textual") is None:
            raise ToolMissingError(f"qsm-bids-app tui needs the package textual, which is not installed: {_INSTALL}")
        if not (sys.stdin.isatty() and sys.stdout.isatty()):
            raise UsageError("qsm-bids-app tui needs a terminal (docker run: add the options -it)")
        from bids_app.tui.app import QsmApp

        QsmApp(args.folder, args.output_dir).run()
    except QsmAppError as error:
        print(f"qsm-bids-app: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="qsm-bids-app tui",
        description="Guided use in the terminal: choose data and options, run, watch, and rate the maps.",
        allow_abbrev=False,
    )
    parser.add_argument("folder", type=place, nargs="?", metavar="FOLDER", help="BIDS dataset, scans, or results")
    parser.add_argument("output_dir", type=place, nargs="?", metavar="OUTPUT_DIR", help="where results are written")
    return parser
