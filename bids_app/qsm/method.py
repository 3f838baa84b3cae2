"""What a method is: its name, function, parameters, the sentence that papers need, and where it comes from.

A descriptor stands beside each algorithm, in the algorithm's file. Everything else is derived from it: the registries
(:mod:`bids_app.qsm.registry`), the choices and parameters of the settings, the methods text and its references, the
parameter reference of ``--explain``, the warm-up and the rows of the benchmarks.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, Protocol, TypeVar, get_args

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.params import Params

if TYPE_CHECKING:  # results of the families; the families import this module
    from bids_app.qsm.field.fit import FieldFit
    from bids_app.qsm.phase.offsets import OffsetResult
    from bids_app.qsm.relaxometry.decay import Relaxation
    from bids_app.qsm.swi.clearswi import Swi

#: What methods are for, in the order of the pipeline. A correction has no parameters: it is kept or switched off.
Kind = Literal[
    "offsets", "unwrap", "field_fit", "correction", "background", "inversion", "relaxometry", "swi", "separation"
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Whether a method stands in a paper that the sentence cites, or was made for this software.
Maturity = Literal["published", "this software's own"]
#: Optional data that a method makes use of.
Use = Literal["weights", "magnitude"]
#: Called by long solvers as ``progress(done, total)``.
Progress = Callable[[int, int], None]

P = TypeVar("P", bound=Params)
P_co = TypeVar("P_co", bound=Params, covariant=True)
P_contra = TypeVar("P_contra", bound=Params, contravariant=True)
F_co = TypeVar("F_co", bound=Callable[..., object], covariant=True)
_CITATION = re.compile(r"\[([a-z0-9]+(?:; [a-z0-9]+)*)\]")
#: Placeholder in a sentence for the parameters that the method ran with.
PARAMETERS = "{parameters}"


@dataclass(frozen=True)
class Method(Generic[F_co, P_co]):
    """One algorithm; call it as its function.

    Parameters
    ----------
    name
        Name in the settings, in lower case: ``inversion.method = "rts"``.
    kind
        What it is for.
    label
        Name that people know it by: ``RTS``.
    function
        The function, whose ``params`` argument is of the class ``params``.
    params
        Class of the parameters; its defaults are the method's defaults.
    sentence
        Sentence of the methods text, with citation keys in brackets (``[kames2018]``) and :data:`PARAMETERS` where the
        parameters are to be named.
    maturity
        ``published``, or ``this software's own``.
    single_step
        Whether an inversion takes the total field: it removes the background itself.
    uses
        Optional data that the result depends on.
    min_echoes
        Echoes that it needs.
    key
        Name in the records of what ran, where it is not ``name``.
    stages
        Keys of stages of this software's own that parameters above 0 switch on, by the parameter's name.

    Examples
    --------
    >>> from bids_app.qsm.registry import INVERSIONS
    >>> INVERSIONS["rts"].label, INVERSIONS["rts"].citations
    ('RTS', ('kames2018',))
    """

    name: str
    kind: Kind
    label: str
    function: F_co
    params: type[P_co]
    sentence: str
    maturity: Maturity = "published"
    single_step: bool = False
    uses: frozenset[Use] = frozenset()
    min_echoes: int = 1
    key: str = ""
    stages: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.name)

    @property
    def __call__(self) -> F_co:
        """Return the function, so that a call of the method has the function's own signature."""
        return self.function

    @property
    def citations(self) -> tuple[str, ...]:
        """Return the citation keys of the sentence in their order."""
        return tuple(key for group in _CITATION.findall(self.sentence) for key in group.split("; "))

    @property
    def is_own(self) -> bool:
        """Whether the method was made for this software and is not published elsewhere."""
        return self.maturity != "published"

    @property
    def summary(self) -> str:
        """Return the first line of the function's docstring."""
        return (self.function.__doc__ or self.label).strip().splitlines()[0]


class OffsetFunction(Protocol[P_contra]):
    """Removes the phase at echo time zero: phase and magnitude ``[echo, x, y, z]``, echo times in s."""

    def __call__(
        self,
        phase: FloatArray,
        magnitude: FloatArray | None,
        echo_times: Sequence[float],
        mask: BoolArray | None,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
    ) -> "OffsetResult":
        """Remove the phase at echo time zero."""
        ...


class UnwrapFunction(Protocol[P_contra]):
    """Unwraps phase in rad, ``[x, y, z]`` or ``[echo, x, y, z]``; the result has the same shape."""

    def __call__(
        self,
        phase: FloatArray,
        mask: BoolArray | None = ...,
        grid: Grid | None = ...,
        /,
        *,
        magnitude: FloatArray | None = ...,
        echo_times: Sequence[float] | None = ...,
        params: P_contra = ...,
        progress: Progress | None = ...,
    ) -> FloatArray:
        """Unwrap the phase."""
        ...


class FieldFitFunction(Protocol[P_contra]):
    """Fits the total field to unwrapped phase ``[echo, x, y, z]`` in rad; see ``field.fit.FieldFit``."""

    def __call__(
        self,
        unwrapped: FloatArray,
        magnitude: FloatArray | None,
        echo_times: Sequence[float],
        mask: BoolArray,
        /,
        *,
        grid: Grid | None = ...,
        params: P_contra = ...,
    ) -> "FieldFit":
        """Fit the field over the echoes."""
        ...


class BackgroundFunction(Protocol[P_contra]):
    """Removes the background from a total field in ppm; returns the local field and the mask where it is valid."""

    def __call__(
        self,
        total_field_ppm: FloatArray,
        mask: BoolArray,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
        weights: FloatArray | None = ...,
        progress: Progress | None = ...,
    ) -> tuple[FloatArray, BoolArray]:
        """Remove the background field."""
        ...


class InversionFunction(Protocol[P_contra]):
    """Inverts a field in ppm to susceptibility in ppm; ``info`` receives what the method chose and did."""

    def __call__(
        self,
        field_ppm: FloatArray,
        mask: BoolArray,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
        weights: FloatArray | None = ...,
        magnitude: FloatArray | None = ...,
        progress: Progress | None = ...,
        info: dict[str, object] | None = ...,
    ) -> FloatArray:
        """Invert the field."""
        ...


class RelaxometryFunction(Protocol[P_contra]):
    """Fits R2* to the magnitude ``[echo, x, y, z]``; see ``relaxometry.decay.Relaxation``."""

    def __call__(
        self,
        magnitude: FloatArray,
        echo_times: Sequence[float],
        mask: BoolArray,
        /,
        *,
        params: P_contra = ...,
        noise: float = ...,
    ) -> "Relaxation":
        """Fit the decay."""
        ...


class SwiFunction(Protocol[P_contra]):
    """Makes susceptibility-weighted images from a field in Hz and a magnitude."""

    def __call__(
        self, field_hz: FloatArray, magnitude: FloatArray, mask: BoolArray, grid: Grid, /, *, params: P_contra = ...
    ) -> "Swi":
        """Make the images."""
        ...


Offsets = Method[OffsetFunction[P], P]
Unwrap = Method[UnwrapFunction[P], P]
FieldFitter = Method[FieldFitFunction[P], P]
Background = Method[BackgroundFunction[P], P]
Inversion = Method[InversionFunction[P], P]
Relaxometry = Method[RelaxometryFunction[P], P]
SwiMethod = Method[SwiFunction[P], P]
Correction = Method[Callable[..., object], Params]
