"""The command: arguments in, exit code out."""

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import NoReturn

from bids_app.cli.job_options import options_for_jobs
from bids_app.cli.options import build_parser
from bids_app.cli.parser import complete
from bids_app.derivatives.text import shown
from bids_app.errors import QsmAppError, ToolMissingError, UsageError, missing_package


class _TerminatedError(BaseException):
    """The command was asked to end (SIGTERM)."""


#: Signals that asked this command to end.
_SIGNALS: list[int] = []


def _terminate(*_: object) -> NoReturn:
    _SIGNALS.append(signal.SIGTERM)
    raise _TerminatedError


def _interrupt(number: int, frame: FrameType | None) -> None:
    _SIGNALS.append(signal.SIGINT)
    signal.default_int_handler(number, frame)


def _stopped() -> int:
    print("qsm-bids-app: stopped. Run the same command again to continue.", file=sys.stderr)
    return 128 + _SIGNALS[-1] if _SIGNALS else 130


def _presets() -> Sequence[str]:
    from bids_app.model.settings import preset_names

    return preset_names()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    with _signals_handled():
        return _guarded(tuple(sys.argv[1:] if argv is None else argv))


def _guarded(arguments: tuple[str, ...]) -> int:
    try:
        return _run(arguments)
    except QsmAppError as error:
        print(f"qsm-bids-app: {error}", file=sys.stderr)
        return error.exit_code
    except ImportError as error:
        if _SIGNALS:  # in the middle of a compiled module's start a signal ends as an error of the import
            return _stopped()
        if not isinstance(error, ModuleNotFoundError):
            raise
        print(f"qsm-bids-app: {missing_package(error)}", file=sys.stderr)
        return ToolMissingError.exit_code
    except BrokenPipeError:  # who read the output has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            print(
                f"qsm-bids-app: a name of the command line is too long for a file: {_last(error.filename)}",
                file=sys.stderr,
            )
            return UsageError.exit_code
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS):
            raise
        print(f"qsm-bids-app: nothing can be written any more: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, _TerminatedError):
        return _stopped()


@contextmanager
def _signals_handled() -> Iterator[None]:
    """Signals end the command as stopped; a caller of `main` has its own handlers again afterwards."""
    _SIGNALS.clear()
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGTERM, _terminate)  # schedulers send it before they kill
    if before[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, _interrupt)
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:  # None: set by a library in C, which has its own reasons
                signal.signal(number, handler)


def _last(filename: object) -> str:
    return shown(Path(str(filename)).name)


def _run(arguments: tuple[str, ...]) -> int:
    if arguments[:1] == ("demo",):
        from bids_app.cli.demo import demo

        return demo(arguments[1:], main)
    parser = build_parser()
    complete(parser, {"preset": _presets, "show_preset": _presets})
    args = parser.parse_args(arguments)
    if not (args.dry_run or args.write_jobs or args.cluster or "convert" in args.levels):  # jobs are to come soon
        from bids_app.engine.server import start_early

        start_early()
    from bids_app.cli.app import run
    from bids_app.cli.config import from_arguments
    from bids_app.cli.dicom_export import check_export, export_maps

    check_export(args)
    config = from_arguments(args, arguments, options_for_jobs(args))
    code = run(config)
    if args.export_dicom is None or args.dry_run:
        return code
    return max(code, export_maps(args, config.selection, config.context))
