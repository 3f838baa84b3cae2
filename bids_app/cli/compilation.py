"""The first run compiles the numerical kernels: the user is shown that it happens, and how far it is."""

import pickle
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path

import bids_app

_LIBRARY = Path(bids_app.__file__).parent / "qsm"
#: What is printed once where no bar can be drawn.
FIRST_RUN = "compiling the numerical kernels: this takes one to two minutes, and happens once"


def has_compiled_kernels(library: Path = _LIBRARY) -> bool:
    """Whether the package brings kernels for this version of Python and of numba, as binary wheels and images do."""
    suffix = f"py{sys.version_info[0]}{sys.version_info[1]}.nbi"
    for path in (library.parent / "_compiled").rglob(f"*.{suffix}"):
        with path.open("rb") as file:  # an index of numba begins with its version
            return bool(pickle.load(file) == version("numba"))
    return False


class CompilationWatch:
    """Counts the kernels that are compiled while a command runs, and reports each new count.

    numba writes one index file for each kernel when it has been compiled, in the folder of the kernel's source.
    Where the package cannot be written, nothing is kept and nothing is reported.
    """

    def __init__(self, report: Callable[[int], None], library: Path = _LIBRARY, interval_s: float = 1.0):
        self._report = report
        self._library = library
        self._interval_s = interval_s
        self._known = self._times()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the watch."""
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        count = 0
        while not self._over.wait(self._interval_s):
            new = sum(self._known.get(path) != changed for path, changed in self._times().items())
            if new > count:
                count = new
                self._report(count)

    def _times(self) -> dict[Path, int]:
        """Return when each kernel was compiled."""
        times = {}
        for path in self._library.rglob("__pycache__/*.nbi"):
            with suppress(OSError):  # replaced at this moment
                times[path] = path.stat().st_mtime_ns
        return times
