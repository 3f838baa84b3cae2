"""``python -m bids_app.phantom OUT``: arguments in, exit code out."""

import sys
from collections.abc import Sequence

from bids_app.errors import QsmAppError
from bids_app.phantom.options import build_parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        args = build_parser().parse_args(argv)
        from bids_app.phantom.from_options import study_from
        from bids_app.phantom.study import write_study
        from bids_app.qsm.process import prepare_process

        study = study_from(args)
        prepare_process()
        if args.omp_nthreads:
            from bids_app.qsm import set_threads

            set_threads(args.omp_nthreads)
        write_study(study, args.out)
        print(f"dataset: {args.out}\ntruth:   {args.out / 'derivatives' / 'phantom'}")
        return 0
    except QsmAppError as error:
        print(f"python -m bids_app.phantom: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("python -m bids_app.phantom: stopped. Run the same command again to continue.", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
