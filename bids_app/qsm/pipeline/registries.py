"""The methods by name, as the pipeline calls them."""

from collections.abc import Callable
from typing import Any

from bids_app.qsm.field.linear import fit_linear
from bids_app.qsm.field.nonlinear import fit_nonlinear
from bids_app.qsm.params import Params, default_params
from bids_app.qsm.phase.bipolar import bipolar
from bids_app.qsm.phase.offsets import mcpc3ds
from bids_app.qsm.pipeline.arguments import Parameters
from bids_app.qsm.relaxometry.arlo import r2star_arlo
from bids_app.qsm.relaxometry.loglinear import r2star_loglinear
from bids_app.qsm.swi.clearswi import clear_swi


def background_method(name: str) -> Callable[..., Any]:
    """Return a background method by its name.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    from bids_app.qsm import BACKGROUND

    return _method("background method", name, BACKGROUND)


def inversion_method(name: str) -> Callable[..., Any]:
    """Return an inversion by its name.

    Raises
    ------
    ValueError
        If there is none of this name.
    """
    from bids_app.qsm import INVERSIONS

    return _method("inversion", name, INVERSIONS)


def is_single_step(name: str) -> bool:
    """Return whether an inversion takes the total field and removes the background itself."""
    from bids_app.qsm import SINGLE_STEP

    return name in SINGLE_STEP


def iterates(method: Callable[..., Any], name: str, parameters: Parameters) -> bool:
    """Return whether a method's progress counts iterations, by its parameters."""
    return hasattr(parameters.get(name, default_params(method)), "iterations")


def _method(kind: str, name: str, registry: dict[str, Callable[..., Any]]) -> Callable[..., Any]:
    if name not in registry:
        raise ValueError(f"there is no {kind} {name!r}; there are {', '.join(sorted(registry))}")
    return registry[name]


def parameter_defaults(section: str) -> dict[str, Params]:
    """Return the default parameters of every method that a section of the options chooses from, by name."""
    from bids_app import qsm

    functions: dict[str, dict[str, Callable[..., Any]]] = {
        "field": {
            **qsm.UNWRAP,
            "mcpc3ds": mcpc3ds,
            "bipolar": bipolar,
            "linear": fit_linear,
            "nonlinear": fit_nonlinear,
        },
        "background": qsm.BACKGROUND,
        "inversion": qsm.INVERSIONS,
        "relaxometry": {"arlo": r2star_arlo, "loglinear": r2star_loglinear},
        "swi": {"clearswi": clear_swi},
    }
    return {name: default_params(function) for name, function in functions.get(section, {}).items()}
