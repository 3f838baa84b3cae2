"""A quick ``import ants`` for ANTs' own process.

antspyx imports libraries for plots, tables, learning and downloads whatever one does with it: 1.5 s for every job,
where ANTs itself takes a tenth of a second and many jobs hardly more. Registration, bias field and resampling use none
of them, so stand-ins take their places. A stand-in that is called raises and never gives a value: should another
version of antspyx need one, the job begins again in a process that has imported everything (``ants_jobs.main``).
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

LEFT_OUT = frozenset({"matplotlib", "mpl_toolkits", "pandas", "requests", "scipy", "sklearn", "statsmodels"})


class LeftOutError(Exception):
    """Something that is left out is needed after all."""


class _StandIn(ModuleType):
    """A module, or anything in one, that is there by name alone."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        return _StandIn(f"{self.__name__}.{name}")

    def __call__(self, *_: object, **__: object) -> NoReturn:
        raise LeftOutError(self.__name__)


class _Finder(MetaPathFinder, Loader):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname.partition(".")[0] not in LEFT_OUT:
            return None
        return ModuleSpec(fullname, self, is_package=True)

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _StandIn(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def import_light() -> None:
    """Import ANTs with stand-ins in this process for good.

    Raises
    ------
    LeftOutError
        If it cannot be imported so.
    """
    sys.meta_path.insert(0, _Finder())
    try:
        import ants  # noqa: F401
    except ModuleNotFoundError:  # ANTs itself is not installed
        raise
    except Exception as error:
        raise LeftOutError(str(error)) from error
