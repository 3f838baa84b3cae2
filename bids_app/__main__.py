"""The entry point: ``python -m bids_app`` is the same as ``qsm-bids-app``."""

import atexit
import gc
import io
import sys
from collections.abc import Sequence

from bids_app.cli.command import main as command
from bids_app.cli.environment import prepare_environment


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, or the terminal app (``tui``), and return the exit code."""
    # At its end Python looks for garbage in all that is loaded, a tenth of the time of a short command.
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may hold what the terminal cannot show
    prepare_environment()
    arguments = tuple(sys.argv[1:] if argv is None else argv)
    if arguments[:1] != ("tui",):
        return command(arguments)
    from bids_app.tui import main as tui

    return tui(arguments[1:])


if __name__ == "__main__":
    sys.exit(main())
