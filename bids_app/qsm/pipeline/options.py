"""All choices of a reconstruction together, and the presets that ship with the software."""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from bids_app.errors import ParameterError
from bids_app.qsm.options import (
    SECTION_KINDS,
    BackgroundChoices,
    FieldChoices,
    InversionChoices,
    MaskChoices,
    ReferenceChoices,
    RelaxometryChoices,
    SwiChoices,
)
from bids_app.qsm.params import Params, nearest
from bids_app.qsm.registry import METHODS

_PRESETS = Path(__file__).parents[2] / "presets"


@dataclass(frozen=True)
class Options:
    """What is chosen in every stage, and the parameters of the methods.

    Attributes
    ----------
    field, mask, background, inversion, reference, relaxometry, swi
        The choices of each stage.
    parameters : mapping of str to Params
        Parameters of methods by their names; those that are not in it have their defaults.

    Raises
    ------
    ParameterError
        If there is no method of a name in ``parameters``, or the parameters are those of another method.

    Examples
    --------
    >>> from bids_app import qsm
    >>> from bids_app.qsm.inversion.rts import RtsParams
    >>> options = qsm.Options(inversion=qsm.InversionChoices(method="rts"), parameters={"rts": RtsParams(delta=0.1)})
    >>> options.inversion.method, options.background.method
    ('rts', 'lbv')
    """

    field: FieldChoices = dataclasses.field(default_factory=FieldChoices)
    mask: MaskChoices = dataclasses.field(default_factory=MaskChoices)
    background: BackgroundChoices = dataclasses.field(default_factory=BackgroundChoices)
    inversion: InversionChoices = dataclasses.field(default_factory=InversionChoices)
    reference: ReferenceChoices = dataclasses.field(default_factory=ReferenceChoices)
    relaxometry: RelaxometryChoices = dataclasses.field(default_factory=RelaxometryChoices)
    swi: SwiChoices = dataclasses.field(default_factory=SwiChoices)
    parameters: Mapping[str, Params] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        known = {name: method.params for methods in METHODS.values() for name, method in methods.items()}
        for name, params in self.parameters.items():
            if name not in known:
                raise ParameterError(f"parameters: there is no method {name!r}: {nearest(name, list(known))}")
            if not isinstance(params, known[name]):
                raise ParameterError(f"{name} takes {known[name].__name__}, got {type(params).__name__}")

    @classmethod
    def from_mapping(cls, tree: Mapping[str, Mapping[str, object]]) -> "Options":
        """Return the options of a nested mapping, as presets and configuration files hold it.

        Raises
        ------
        ParameterError
            For an unknown stage, choice or parameter (with the nearest valid name), or a value out of range.
        """
        stages = {name: type(choices) for name, choices in vars(cls()).items() if isinstance(choices, Params)}
        choices: dict[str, Params] = {}
        parameters: dict[str, Params] = {}
        for name, values in tree.items():
            if name not in stages:
                raise ParameterError(f"unknown stage {name!r}: {nearest(name, list(stages))}")
            methods = {
                method_name: method
                for kind in SECTION_KINDS.get(name, ())
                for method_name, method in METHODS[kind].items()
            }
            choice = {key: value for key, value in values.items() if key not in methods}
            choices[name] = stages[name].from_mapping(choice)
            for key in methods.keys() & values.keys():
                given = values[key]
                if not isinstance(given, Mapping):
                    raise ParameterError(f"{name}.{key} must be a table of parameters, got {given!r}")
                parameters[key] = methods[key].params.from_mapping(given)
        return cls(**(vars(cls(parameters=parameters)) | choices))


def presets() -> tuple[str, ...]:
    """Return the names of the presets that ship with the software.

    Returns
    -------
    tuple of str
        Names, in alphabetical order.
    """
    return tuple(sorted(path.stem for path in _PRESETS.glob("*.toml")))


def preset(name: str) -> Options:
    """Return the options of a preset.

    Sections of a preset that concern the command alone are left out.

    Parameters
    ----------
    name : str
        Name of the preset; see :func:`presets`.

    Returns
    -------
    Options
        Choices and parameters of every stage.

    Raises
    ------
    ParameterError
        If there is no preset of this name.

    Examples
    --------
    >>> from bids_app import qsm
    >>> qsm.preset("fast").relaxometry.method
    'loglinear'
    """
    if name not in presets():
        raise ParameterError(f"there is no preset {name!r}: {nearest(name, list(presets()))}")
    tree = tomllib.loads((_PRESETS / f"{name}.toml").read_text(encoding="utf-8"))
    stages = {f.name for f in fields(Options)}
    return Options.from_mapping({key: value for key, value in tree.items() if key in stages})
