"""How this package's kernels are compiled and where they are kept.

:func:`jit` is ``numba.njit`` for the functions of this package. numba by itself refuses a cache folder that it cannot
write to. It then compiles every kernel again in each process (read-only image, site-wide installation), or stops where
the home folder cannot be written either. The cache of :func:`jit` always reads the ``__pycache__`` folder beside the
source, and a kernel that cannot be saved is used without being saved. No class or setting of numba is changed.

A cache folder or locator that the user has set by numba's own variables (``NUMBA_CACHE_DIR``,
``NUMBA_CACHE_LOCATOR_CLASSES``) is respected.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba.core import caching

from bids_app.qsm.kernels.processor import choose_processor


class PackageCacheLocator(caching.InTreeCacheLocator):
    """numba's cache beside the source, whether or not it can be written."""

    def ensure_cache_path(self) -> None:
        """Make the folder where that is possible."""
        try:
            Path(self.get_cache_path()).mkdir(exist_ok=True)
        except OSError:
            return


class _PackageCacheImpl(caching.CompileResultCacheImpl):
    """numba's cache entries, found beside the source first."""

    _locator_classes = [PackageCacheLocator, *caching.CacheImpl._locator_classes]  # noqa: RUF012 (numba's own form)


class KernelCache(caching.FunctionCache):
    """The compiled versions of one kernel on the disk."""

    _impl_class = _PackageCacheImpl

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled version where that is possible."""
        try:
            super().save_overload(sig, data)
        except OSError:  # read-only, full or gone: the kernel is in memory, which is all that this process needs
            return


def jit(function: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Compile a function by numba, without the interpreter's lock, and keep it in this package's cache.

    Parameters
    ----------
    function : callable
        The kernel.
    **options
        Options of ``numba.njit`` but ``cache`` and ``nogil``.

    Returns
    -------
    callable
        The compiled function (the plain one where ``NUMBA_DISABLE_JIT`` is set).
    """

    def decorate(function: Callable[..., Any]) -> Any:
        choose_processor()
        dispatcher = numba.njit(nogil=True, **options)(function)
        if hasattr(dispatcher, "enable_caching"):
            if numba.config.CACHE_DIR or numba.config.CACHE_LOCATOR_CLASSES:
                dispatcher.enable_caching()
            else:
                dispatcher._cache = KernelCache(function)
        return dispatcher

    return decorate if function is None else decorate(function)
