"""Where numba keeps this package's compiled kernels, so that they also load where nothing can be written.

Imported before any kernel is defined. numba by itself refuses a cache folder that it cannot write to and then compiles
every kernel again in each process (a read-only image, a site-wide installation), or gives up where the home folder
cannot be written either. Here the ``__pycache__`` folder beside the source is read in any case, and a kernel that
cannot be saved is used without being saved.

``QSM_BIDS_APP_PORTABLE_KERNELS=1`` (set in container images) compiles for a named processor instead of the one at
hand, so that a cache made on the build machine serves every machine: ``x86-64-v3`` where the processor has AVX2 (every
server since 2013), the plain instruction set elsewhere.

Idle threads of OpenMP sleep instead of spinning (``OMP_WAIT_POLICY``, unless the caller has set it): one that spins
takes the processor from the one that it waits for as soon as other programs run, which makes solvers of many short
kernels ten times slower.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

# OpenMP reads it when the first parallel kernel runs.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
_PACKAGE = str(Path(__file__).parents[2])
#: What x86-64-v3 adds, as the names in /proc/cpuinfo.
_V3_FLAGS = {"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}


class PackageCacheLocator(caching.InTreeCacheLocator):
    """numba's cache beside the source, whether or not it can be written."""

    def ensure_cache_path(self) -> None:
        """Make the folder where that is possible."""
        try:
            Path(self.get_cache_path()).mkdir(exist_ok=True)
        except OSError:
            return

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "PackageCacheLocator | None":
        """Return a locator for functions of this package, None for all others."""
        if not os.path.abspath(py_file).startswith(_PACKAGE + os.sep):  # noqa: PTH100
            return None
        locator: PackageCacheLocator | None = super().from_function(py_func, py_file)
        return locator


def portable_cpu(flags: Sequence[str]) -> str:
    """Return the processor name to compile for, given the flags of /proc/cpuinfo."""
    return "x86-64-v3" if set(flags) >= _V3_FLAGS else "generic"


def _processor_flags() -> list[str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return []
    return next((line.split(":", 1)[1].split() for line in lines if line.startswith("flags")), [])


def _save_if_possible(save: Any) -> Any:
    def saved(self: Any, key: Any, data: Any) -> None:
        try:
            save(self, key, data)
        except OSError:  # read-only, full or gone: the kernel is in memory, which is all that this process needs
            return

    return saved


def install() -> None:
    """Tell numba; a cache folder or processor that the user has set by numba's own variables stays."""
    if not (numba.config.CACHE_DIR or os.environ.get("NUMBA_CACHE_LOCATOR_CLASSES")):
        caching.CacheImpl._locator_classes.insert(0, PackageCacheLocator)
        caching.IndexDataCacheFile.save = _save_if_possible(caching.IndexDataCacheFile.save)
    if os.environ.get("QSM_BIDS_APP_PORTABLE_KERNELS") == "1" and not numba.config.CPU_NAME:
        numba.config.CPU_NAME = portable_cpu(_processor_flags())
        numba.config.CPU_FEATURES = ""


install()
