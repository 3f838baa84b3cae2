"""The official BIDS validator on the input, next to the processing: what it finds is reported and stops nothing."""

import json
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

_TOOL = "bids-validator-deno"
#: So many kinds of errors are reported.
_MAX_KINDS = 10


class InputValidation:
    """A validator process that runs while the app works."""

    def __init__(self, bids_dir: Path):
        installed = Path(sys.executable).with_name(_TOOL)
        tool = str(installed) if installed.is_file() else shutil.which(_TOOL)
        self._process: subprocess.Popen[bytes] | None = None
        self._printed = tempfile.TemporaryFile()  # noqa: SIM115 (lives as long as the validator)
        if tool is not None:
            self._process = subprocess.Popen(
                [tool, str(bids_dir), "--format", "json", "--ignoreWarnings", "--ignoreNiftiHeaders"],
                stdout=self._printed,
                stderr=subprocess.DEVNULL,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End the validator, whatever it does, and forget what it has said."""
        self._kill()
        self._printed.close()

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def findings(self, patience_s: float) -> list[str]:
        """Return a sentence for every kind of error; the validator is stopped after ``patience_s``."""
        if self._process is None:
            return ["the input was not validated: bids-validator-deno is not installed"]
        try:
            self._process.wait(timeout=patience_s)
        except subprocess.TimeoutExpired:
            self._kill()
            return ["the input was not validated in time; run bids-validator-deno on it yourself"]
        try:
            self._printed.seek(0)
            issues = json.loads(self._printed.read())["issues"]["issues"]
        except (ValueError, KeyError, TypeError):
            return ["the input was not validated: bids-validator-deno failed"]
        return _sentences([issue for issue in issues if issue.get("severity") == "error"])


def _sentences(errors: list[dict[str, str]]) -> list[str]:
    counts = Counter(error.get("code", "unknown") for error in errors)
    first = {error.get("code", "unknown"): error for error in reversed(errors)}
    sentences = [
        f"BIDS validator: {code} ({count} times), first in {first[code].get('location', 'the dataset')}"
        for code, count in counts.most_common(_MAX_KINDS)
    ]
    more = len(counts) - _MAX_KINDS
    return sentences + ([f"BIDS validator: {more} more kinds of errors"] if more > 0 else [])
