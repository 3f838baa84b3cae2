"""The command ``qsm``: arguments in, exit code out."""

import sys
from collections.abc import Sequence

from bids_app.cli.environment import prepare_environment
from bids_app.cli.parser import complete
from bids_app.cli.stages.options import build_parser
from bids_app.errors import QsmAppError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one stage and return the exit code: 0 done, 1 failed, 2 usage, 3 input refused, 4 a tool is missing."""
    prepare_environment()
    try:
        parser = build_parser()
        complete(parser)
        args, further = parser.parse_known_args(sys.argv[1:] if argv is None else list(argv))
        from bids_app.cli.stages.stages import run

        for line in run(args, further):
            print(line)
        return 0
    except QsmAppError as error:
        print(f"qsm: {error}", file=sys.stderr)
        return error.exit_code
    except ValueError as error:  # the library refuses arrays by this class
        print(f"qsm: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("qsm: stopped", file=sys.stderr)
        return 130
