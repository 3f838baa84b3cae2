"""How this package's kernels are compiled and where they are kept.

:func:`jit` is ``numba.njit`` for the functions of this package. Its cache looks for a compiled kernel in three places:

1. the ``__pycache__`` folder of the source, where new kernels are saved. Where that folder cannot be written (a
   site-wide installation), new kernels are saved in numba's folder of the user, and both are read;
2. the folder ``_compiled`` of the package, which binary wheels and container images bring
   (``.ci/compile_kernels.py`` makes it). Its kernels are for :func:`bids_app.qsm.process.portable_cpu`, unless
   ``NUMBA_CPU_NAME`` names another processor;
3. nowhere: numba compiles it for the processor at hand. A kernel that cannot be saved is used without being saved.

A kernel belongs to one version of numba and one content of its source file, wherever and whenever that was unpacked.
No class or setting of numba is changed. A cache folder or locator that the user has set by numba's own variables
(``NUMBA_CACHE_DIR``, ``NUMBA_CACHE_LOCATOR_CLASSES``) takes the first place.
"""

import functools
import hashlib
import os
import platform
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numba
from numba.core import caching

from bids_app.qsm.process import portable_cpu

PACKAGE = Path(__file__).parents[2]
COMPILED = PACKAGE / "_compiled"


@functools.cache
def _digest(path: str) -> bytes:
    return hashlib.sha256(Path(path).read_bytes()).digest()


class _ContentStamp:
    """A kernel is fresh while its source has the same content; earlier versions of numba compare the time of change."""

    _py_file: str

    def get_source_stamp(self) -> bytes:
        """Return the digest of the source file."""
        return _digest(self._py_file)


class PackageCacheLocator(_ContentStamp, caching.InTreeCacheLocator):
    """The cache in the folder of the source, where that can be written."""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "PackageCacheLocator | None":
        """Return the locator of a kernel, or None."""
        folder = Path(py_file).parent
        cache = folder / "__pycache__"
        return cls(py_func, py_file) if os.access(cache if cache.is_dir() else folder, os.W_OK) else None


class UserCacheLocator(_ContentStamp, caching.UserWideCacheLocator):
    """numba's cache in the home of the user, which is not touched before a kernel is saved."""

    @classmethod
    def from_function(cls, py_func: Any, py_file: str) -> "UserCacheLocator":
        """Return the locator of a kernel."""
        return cls(py_func, py_file)


class _PackageCacheImpl(caching.CompileResultCacheImpl):
    """Compile results of numba in the places above."""

    _locator_classes = (caching.UserProvidedCacheLocator, PackageCacheLocator, UserCacheLocator)


class _Target(NamedTuple):
    """What a kernel is compiled for; stands for a code generator of numba in keys."""

    platform: str
    cpu: str
    features: str = ""

    def magic_tuple(self) -> tuple[str, str, str]:
        """Return the target as numba's code generators do."""
        return self.platform, self.cpu, self.features


#: The version of the operating system, which LLVM's own name of the platform has on a Mac, makes no difference.
_PLATFORM = f"{platform.machine()}-{sys.platform}"


@functools.cache
def _portable_target() -> _Target:
    return _Target(_PLATFORM, portable_cpu())


_compiled: list[str] = []


def compiled_count() -> int:
    """Return how many kernels this process had to compile."""
    return len(_compiled)


class KernelCache(caching.FunctionCache):
    """The compiled versions of one kernel on the disk."""

    _impl_class = _PackageCacheImpl

    def __init__(self, function: Callable[..., Any]):
        super().__init__(function)
        self._source = Path(function.__code__.co_filename)

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """Return the kernel for a signature from the first place that has it, or None."""
        loaded = super().load_overload(sig, target_context)
        return self._load_other(sig, target_context) if loaded is None else loaded

    def save_overload(self, sig: Any, data: Any) -> None:
        """Save a compiled version where that is possible."""
        _compiled.append(self._impl.filename_base)
        try:
            super().save_overload(sig, data)
        except OSError:  # read-only, full or gone: the kernel is in memory, which is all that this process needs
            return

    def _load_other(self, sig: Any, target_context: Any) -> Any:
        targets = [target_context.codegen()]
        if not numba.config.CPU_NAME:
            targets.append(_portable_target())
        for target in targets:
            key = self._index_key(sig, target)
            for file in self._files():
                data = file.load(key)
                if data is not None:
                    return self._impl.rebuild(target_context, data)
        return None

    def _files(self) -> Iterator[Any]:
        """Yield the index files of all places."""
        yield self._cache_file
        folders = [self._source.parent / "__pycache__"]
        if self._source.is_relative_to(PACKAGE):
            folders.append(COMPILED / self._source.parent.relative_to(PACKAGE))
        for folder in folders:
            yield caching.IndexDataCacheFile(str(folder), self._impl.filename_base, _digest(str(self._source)))

    def _index_key(self, sig: Any, codegen: Any) -> Any:
        _triple, cpu, features = codegen.magic_tuple()
        return super()._index_key(sig, codegen if features else _Target(_PLATFORM, cpu))


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
        dispatcher = numba.njit(nogil=True, **options)(function)
        if hasattr(dispatcher, "enable_caching"):
            dispatcher._cache = KernelCache(function)
        return dispatcher

    return decorate if function is None else decorate(function)
