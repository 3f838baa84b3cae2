"""What a method is: its name, function, parameters, the sentence that papers need, and where it comes from.

A descriptor goes with each algorithm, in the algorithm's file. Everything else is derived from it: the registries
(:mod:`bids_app.qsm.registry`), the choices and parameters of the settings, the methods text and its references, the
parameter reference of ``--explain``, the warm-up and the rows of the benchmarks.
"""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, Literal, TypeVar, get_args

from bids_app.qsm.params import Params
from bids_app.qsm.signatures import (
    BackgroundFunction,
    FieldFitFunction,
    GradientFunction,
    InversionFunction,
    OffsetFunction,
    RelaxometryFunction,
    SeparationFunction,
    SpinEchoFunction,
    SwiFunction,
    UnwrapFunction,
)

#: What methods are for, in the order of the pipeline. A correction has no parameters: it is kept or switched off.
Kind = Literal[
    "offsets",
    "unwrap",
    "field_fit",
    "correction",
    "background",
    "inversion",
    "relaxometry",
    "swi",
    "spin_echo",
    "gradient_correction",
    "separation",
]
KINDS: tuple[Kind, ...] = get_args(Kind)
#: Whether a method stands in a paper that the sentence cites, or was made for this software.
Maturity = Literal["published", "this software's own"]
#: Optional data that a method makes use of.
Use = Literal["weights", "magnitude"]
P = TypeVar("P", bound=Params)
P_co = TypeVar("P_co", bound=Params, covariant=True)
F_co = TypeVar("F_co", bound=Callable[..., object], covariant=True)
_CITATION = re.compile(r"\[([a-z0-9]+(?:; [a-z0-9]+)*)\]")
#: Placeholder in a sentence for the parameters that the method ran with.
PARAMETERS = "{parameters}"


class _Signature:
    """The signature of a method's function, for ``help`` and completion; the class has that of a dataclass."""

    def __get__(self, method: "Method[Callable[..., object], Params] | None", owner: type) -> inspect.Signature:
        if method is None:
            raise AttributeError("__signature__")
        return inspect.signature(method.function)


@dataclass(frozen=True, repr=False)
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
    needs
        Maps that a separation cannot do without, by the names of ``separation.sources.INPUTS``; ``chi`` for
        susceptibility-weighted images that take the map; ``model`` for inversions by a network of the user's own, which
        are neither warmed up nor measured.
    min_echoes
        Echoes that it needs.
    key
        Name in the records of what ran, where it is not ``name``.
    on_device
        Whether its iterations run on the device of :func:`bids_app.qsm.device.use_device`; else it always runs on the
        processor.
    stages
        Keys of stages of this software's own that parameters above 0 switch on, by the parameter's name.

    Examples
    --------
    >>> from bids_app.qsm.registry import INVERSIONS
    >>> INVERSIONS["rts"]
    <inversion 'rts': RTS>
    >>> INVERSIONS["rts"].citations, INVERSIONS["rts"].params().delta
    (('kames2018',), 0.15)
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
    needs: tuple[str, ...] = ()
    min_echoes: int = 1
    key: str = ""
    on_device: bool = False
    stages: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.key:
            object.__setattr__(self, "key", self.name)

    __signature__ = _Signature()

    def __repr__(self) -> str:
        mark = f", {self.maturity}" if self.is_own else ""
        return f"<{self.kind.replace('_', ' ')} {self.name!r}: {self.label}{mark}>"

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


Offsets = Method[OffsetFunction[P], P]
Unwrap = Method[UnwrapFunction[P], P]
FieldFitter = Method[FieldFitFunction[P], P]
Background = Method[BackgroundFunction[P], P]
Inversion = Method[InversionFunction[P], P]
Relaxometry = Method[RelaxometryFunction[P], P]
SwiMethod = Method[SwiFunction[P], P]
SpinEcho = Method[SpinEchoFunction[P], P]
GradientCorrection = Method[GradientFunction[P], P]
Separation = Method[SeparationFunction[P], P]
Correction = Method[Callable[..., object], Params]
