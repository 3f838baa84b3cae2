"""The sections of the settings: what can be chosen in each, and which methods have parameters there."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bids_app.qsm.params import Params, param


@dataclass(frozen=True)
class FieldChoices(Params):
    """Phase to total field."""

    offsets: str = param("mcpc3ds", choices=("mcpc3ds", "none"), doc="Removal of phase offsets between echoes")
    bipolar: str = param(
        "auto",
        choices=("auto", "yes", "no"),
        doc="Correct alternating readout polarity (auto: decided from sidecar and data)",
    )
    unwrap: str = param("romeo", choices=("romeo", "laplacian"), doc="Phase unwrapping")
    fit: str = param("linear", choices=("linear", "nonlinear"), doc="Fit of the field over echoes")


@dataclass(frozen=True)
class MaskChoices(Params):
    """Masks without anatomical priors, as recipes: a source and operations in order."""

    two_pass: bool = param(True, doc="Invert twice, in the reliable and in the filled mask, and combine")
    filled: str = param("default", doc="Recipe of the filled mask")
    reliable: str = param("default", doc="Recipe of the mask of reliable voxels (two-pass only)")
    given: str = param("auto", choices=("auto", "ignore", "require"), doc="Use of a brain mask found in --derivatives")


@dataclass(frozen=True)
class BackgroundChoices(Params):
    """Background field removal."""

    method: str = param("vsharp", choices=("vsharp", "resharp", "ismv", "pdf", "lbv", "none"), doc="Method")


@dataclass(frozen=True)
class InversionChoices(Params):
    """Dipole inversion."""

    method: str = param(
        "rts",
        choices=("tkd", "tikhonov", "ilsqr", "rts", "tv", "nltv", "whqsm", "hdqsm", "medi", "tgv"),
        doc="Method",
    )
    input: str = param("field", choices=("field", "phase"), doc="Fitted field, or each echo's wrapped phase (tgv)")
    echoes: str = param(
        "combined",
        choices=("combined", "separate"),
        doc="Invert one field, or every echo by itself and average",
    )
    weighted: bool = param(True, doc="Weight the data by the standard error of the field")


@dataclass(frozen=True)
class ReferenceChoices(Params):
    """Zero of the susceptibility scale."""

    region: str = param("mask", doc="'mask' (mean of the valid mask), 'none', 'csf' or the name of a segmented region")


@dataclass(frozen=True)
class RelaxometryChoices(Params):
    """R2*, T2* and S0."""

    method: str = param("arlo", choices=("arlo", "loglinear", "numart2", "none"), doc="Method (multi-echo data)")


@dataclass(frozen=True)
class SwiChoices(Params):
    """Susceptibility-weighted images."""

    method: str = param("clearswi", choices=("clearswi", "none"), doc="Method")


@dataclass(frozen=True)
class SectionSpec:
    """A section's choices and a function that gives its methods (imported late: the numerics take a while)."""

    choices: type[Params]
    methods: Callable[[], dict[str, Callable[..., Any]]] = dict

    def load(self) -> tuple[Params, dict[str, Params]]:
        """Return the default choices and each method's default parameters."""
        return self.choices(), {name: default_params(function) for name, function in self.methods().items()}


def default_params(function: Callable[..., Any]) -> Params:
    """Return the default parameter object of a method: the default of its ``params`` argument."""
    default = inspect.signature(function).parameters["params"].default
    if not isinstance(default, Params):
        raise TypeError(f"{function.__name__} has no default parameters")
    return default


def _field_methods() -> dict[str, Callable[..., Any]]:
    from bids_app import qsm
    from bids_app.qsm import fieldfit, offsets

    return {
        **qsm.UNWRAP,
        "mcpc3ds": offsets.mcpc3ds,
        "linear": fieldfit.fit_linear,
        "nonlinear": fieldfit.fit_nonlinear,
    }


def _background_methods() -> dict[str, Callable[..., Any]]:
    from bids_app import qsm

    return dict(qsm.BACKGROUND)


def _inversion_methods() -> dict[str, Callable[..., Any]]:
    from bids_app import qsm

    return dict(qsm.INVERSIONS)


#: In pipeline order.
SECTIONS: dict[str, SectionSpec] = {
    "field": SectionSpec(FieldChoices, _field_methods),
    "mask": SectionSpec(MaskChoices),
    "background": SectionSpec(BackgroundChoices, _background_methods),
    "inversion": SectionSpec(InversionChoices, _inversion_methods),
    "reference": SectionSpec(ReferenceChoices),
    "relaxometry": SectionSpec(RelaxometryChoices),
    "swi": SectionSpec(SwiChoices),
}
