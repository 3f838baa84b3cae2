"""The parameter tree: sections with choices and methods' parameters, presets, and what goes together.

A section (``field``, ``mask``, ``background`` ...) has choices of its own (``inversion.method``) and one table of
parameters for every method it can use (``inversion.rts.delta``).
"""

import dataclasses
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar, overload

from bids_app.errors import ParameterError, UsageError
from bids_app.model.json_values import JsonObject, value_of
from bids_app.model.sections import (
    BrainExtractionChoices,
    FastSurferChoices,
    GroupChoices,
    QcChoices,
    RegionsChoices,
    RegistrationChoices,
    ReportChoices,
    SegmentationChoices,
    StatisticsChoices,
    TemplateChoices,
    VoxelwiseChoices,
)
from bids_app.model.toml_files import read_text
from bids_app.qsm.mask.recipe import parse_recipe
from bids_app.qsm.method import Method
from bids_app.qsm.options import (
    SECTION_KINDS,
    BackgroundChoices,
    FieldChoices,
    InversionChoices,
    MaskChoices,
    ReferenceChoices,
    RelaxometryChoices,
    SeparationChoices,
    SwiChoices,
)
from bids_app.qsm.params import Params, Value, nearest
from bids_app.qsm.registry import BACKGROUND, METHODS, SINGLE_STEP, AnyMethod

PRESET_DIR = Path(__file__).parents[1] / "presets"
C_co = TypeVar("C_co", bound=Params, covariant=True)
P = TypeVar("P", bound=Params)
#: Values of a section: its choices, and the parameters of methods by the name of the method.
SectionValues = dict[str, Value | dict[str, Value]]


@dataclass(frozen=True)
class Section(Generic[C_co]):
    """One section of the settings: its choices, and the parameters of every method that it can use."""

    choice: C_co
    methods: Mapping[str, Params] = dataclasses.field(default_factory=dict)

    @overload
    def of(self, method: Method[Callable[..., object], P]) -> P: ...
    @overload
    def of(self, method: str) -> Params: ...
    def of(self, method: AnyMethod | str) -> Params:
        """Return the parameters of a method of this section; by its descriptor they have their own type."""
        return self.methods[method if isinstance(method, str) else method.name]

    def to_mapping(self) -> SectionValues:
        """Return the choices and the parameters of the chosen methods alone: what can influence a result."""
        values = self.choice.to_mapping()
        chosen = {value for value in values.values() if isinstance(value, str)}
        chosen |= {name for value in chosen for name in getattr(self.choice, "ALSO", {}).get(value, ())}
        return {**values, **{name: params.to_mapping() for name, params in self.methods.items() if name in chosen}}


@dataclass(frozen=True)
class _Default(Generic[C_co]):
    """Makes a section with every default: its choices, and the parameters of the methods that it can use."""

    choices: type[C_co]
    name: str = ""

    def __call__(self) -> Section[C_co]:
        return Section(self.choices(), {method.name: method.params() for method in methods_of(self.name)})


def methods_of(section: str) -> Iterator[AnyMethod]:
    """Yield the methods that have parameters in a section."""
    for kind in SECTION_KINDS.get(section, ()):
        yield from METHODS[kind].values()


@dataclass(frozen=True)
class Settings:
    """The whole parameter tree, in the order of the pipeline; made without arguments it holds every default."""

    field: Section[FieldChoices] = dataclasses.field(default_factory=_Default(FieldChoices, "field"))
    segmentation: Section[SegmentationChoices] = dataclasses.field(default_factory=_Default(SegmentationChoices))
    fastsurfer: Section[FastSurferChoices] = dataclasses.field(default_factory=_Default(FastSurferChoices))
    registration: Section[RegistrationChoices] = dataclasses.field(default_factory=_Default(RegistrationChoices))
    brain_extraction: Section[BrainExtractionChoices] = dataclasses.field(
        default_factory=_Default(BrainExtractionChoices)
    )
    mask: Section[MaskChoices] = dataclasses.field(default_factory=_Default(MaskChoices))
    background: Section[BackgroundChoices] = dataclasses.field(
        default_factory=_Default(BackgroundChoices, "background")
    )
    inversion: Section[InversionChoices] = dataclasses.field(default_factory=_Default(InversionChoices, "inversion"))
    reference: Section[ReferenceChoices] = dataclasses.field(default_factory=_Default(ReferenceChoices))
    relaxometry: Section[RelaxometryChoices] = dataclasses.field(
        default_factory=_Default(RelaxometryChoices, "relaxometry")
    )
    swi: Section[SwiChoices] = dataclasses.field(default_factory=_Default(SwiChoices, "swi"))
    separation: Section[SeparationChoices] = dataclasses.field(
        default_factory=_Default(SeparationChoices, "separation")
    )
    regions: Section[RegionsChoices] = dataclasses.field(default_factory=_Default(RegionsChoices))
    qc: Section[QcChoices] = dataclasses.field(default_factory=_Default(QcChoices))
    statistics: Section[StatisticsChoices] = dataclasses.field(default_factory=_Default(StatisticsChoices))
    voxelwise: Section[VoxelwiseChoices] = dataclasses.field(default_factory=_Default(VoxelwiseChoices))
    group: Section[GroupChoices] = dataclasses.field(default_factory=_Default(GroupChoices))
    template: Section[TemplateChoices] = dataclasses.field(default_factory=_Default(TemplateChoices))
    report: Section[ReportChoices] = dataclasses.field(default_factory=_Default(ReportChoices))

    @property
    def sections(self) -> dict[str, Section[Params]]:
        """Return the sections by name."""
        return {name: getattr(self, name) for name in section_names()}

    def to_mapping(self) -> dict[str, SectionValues]:
        """Return nested plain values of everything that can influence a result."""
        return {name: section.to_mapping() for name, section in self.sections.items()}


def section_names() -> list[str]:
    """Return the names of the sections in the order of the pipeline."""
    return [field.name for field in dataclasses.fields(Settings)]


def to_toml(settings: Settings, comment: Sequence[str] = ()) -> str:
    """Return settings as a TOML text that ``--config`` takes again, with comment lines before them."""
    lines = [f"# {line}" for line in comment]
    for name, section in settings.sections.items():
        lines += ["", f"[{name}]", *_toml_lines(section.choice.to_mapping())]
        for method, params in section.methods.items():
            lines += ["", f"[{name}.{method}]", *_toml_lines(params.to_mapping())]
    return "\n".join(lines) + "\n"


def _toml_lines(values: Mapping[str, object]) -> list[str]:
    # JSON spells strings, numbers, booleans and lists as TOML does; there are no other values, and None is left out.
    return [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in values.items() if value is not None]


def preset_names() -> list[str]:
    """Return the names of the presets that ship with the app."""
    return sorted(path.stem for path in PRESET_DIR.glob("*.toml"))


def preset_text(name: str) -> str:
    """Return a preset's TOML text, from the app's own or from a file path."""
    path = PRESET_DIR / f"{name}.toml"
    if not path.is_file():
        path = Path(name)
        if not path.is_file():
            raise UsageError(f"--preset: no preset or file {name!r}: {nearest(name, preset_names())}")
    return read_text(path, f"--preset: {name}")


def parse_set(assignment: str) -> JsonObject:
    """Return the nested mapping of one ``section.name=value`` (or ``section.method.name=value``)."""
    path, equals, text = assignment.partition("=")
    keys = path.strip().split(".")
    if not equals or len(keys) not in (2, 3) or not all(keys):
        raise UsageError(f"--set {assignment}: expected section.name=value or section.method.name=value")
    value = value_of(text)
    section, *inner = keys
    for key in reversed(inner):
        value = {key: value}
    return {section: value}


def merge(base: JsonObject, over: JsonObject) -> JsonObject:
    """Return ``base`` with the nested values of ``over`` in their places."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def build_settings(tree: Mapping[str, object], origin: str = "settings") -> Settings:
    """Check a nested mapping of values against what the sections know and return the settings.

    Raises
    ------
    UsageError
        For an unknown section, parameter or method (with the nearest valid name), or a value out of range.
    """
    default = Settings()
    for name in tree:
        if name not in default.sections:
            raise UsageError(f"{origin}: unknown section {name!r}: {nearest(name, section_names())}")
    sections = {}
    for name, section in default.sections.items():
        values = tree.get(name, {})
        if not isinstance(values, Mapping):
            raise UsageError(f"{origin}: [{name}] must be a table of values")
        sections[name] = _build_section(name, section, values, origin)
    settings = Settings(**(vars(default) | sections))
    _check_mask_recipes(settings)
    _check_combination(settings, origin)
    _check_group(settings)
    return settings


def _build_section(name: str, default: Section[Params], values: Mapping[str, object], origin: str) -> Section[Params]:
    choice, methods = default.choice, default.methods
    own_names = [field.name for field in dataclasses.fields(choice)]
    choices: dict[str, object] = {}
    changed = dict(methods)
    where = name
    try:
        for key, value in values.items():
            where = f"{name}.{key}"
            if key in methods:
                if not isinstance(value, Mapping):
                    raise ParameterError("is a method's table, not a value")
                changed[key] = type(methods[key]).from_mapping(methods[key].to_mapping() | dict(value))
            elif key in own_names:
                choices[key] = value
            else:
                where = name
                raise ParameterError(f"unknown parameter {key!r}: {nearest(key, own_names + list(methods))}")
        where = name
        return Section(type(choice).from_mapping(choice.to_mapping() | choices), changed)
    except ParameterError as error:
        raise UsageError(f"{origin}: {where}: {error}") from error


def _check_mask_recipes(settings: Settings) -> None:
    for name in ("filled", "reliable"):
        try:
            parse_recipe(getattr(settings.mask.choice, name))
        except ParameterError as error:
            raise UsageError(f"mask.{name}: {error}") from error
    choice = settings.mask.choice
    recipes = (choice.filled, choice.reliable) if choice.two_pass else (choice.filled,)
    if settings.brain_extraction.choice.program and not any(
        "bet" in parse_recipe(recipe).sources for recipe in recipes
    ):
        raise UsageError(
            f"--brain-extraction: the program's mask stands for bet in the recipe of the mask, and {choice.filled!r} "
            "has no bet: begin the recipe with 'bet & ' (--mask)"
        )


def _check_combination(settings: Settings, origin: str) -> None:
    """Refuse methods that do not go together, with what to write instead."""
    background, inversion = settings.background.choice.method, settings.inversion.choice
    single = inversion.method in SINGLE_STEP
    if single and background != "none":
        raise UsageError(
            f"{origin}: inversion.method={inversion.method} removes the background field itself and cannot follow "
            f"background.method={background}: set background.method=none"
        )
    if background == "none" and not single:
        raise UsageError(
            f"{origin}: inversion.method={inversion.method} needs a background method before it: set background.method "
            f"to one of {', '.join(sorted(BACKGROUND))}, or inversion.method to {', '.join(sorted(SINGLE_STEP))}"
        )
    if inversion.per_echo and not single and settings.field.choice.unwrap != "romeo":
        raise UsageError(
            f"{origin}: inversion.per_echo=true with inversion.method={inversion.method} needs the unwrapped phase of "
            f"each echo: set field.unwrap=romeo, or inversion.method to {', '.join(sorted(SINGLE_STEP))}"
        )


def _check_group(settings: Settings) -> None:
    """Refuse what needs something else that was not asked for."""
    group, voxelwise = settings.group.choice, settings.voxelwise.choice
    if voxelwise.run and not settings.statistics.choice.model:
        raise UsageError("--voxelwise needs a model: --model 'chi ~ age + sex'")
    if voxelwise.permutations and not voxelwise.run:
        raise UsageError("--permutations goes with --voxelwise")
    if group.labels and not group.dseg:
        raise UsageError("--group-labels goes with --group-dseg")
    asked = {"--voxelwise": voxelwise.run, "--group-dseg": group.dseg, "--output-space": group.output_space}
    for option, wanted in asked.items():
        if wanted and group.template == "none":
            raise UsageError(f"{option} needs a template, and --template is none")
