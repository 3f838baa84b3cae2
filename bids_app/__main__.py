"""``python -m bids_app`` is the same as ``qsm-bids-app``."""

import sys

from bids_app.cli.command import main

if __name__ == "__main__":
    sys.exit(main())
