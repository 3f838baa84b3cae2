"""``--explain NAME``: what a section, a method or a parameter of the settings is, from the code that declares it."""

import dataclasses
import textwrap
from collections.abc import Iterator, Sequence

from bids_app.errors import UsageError
from bids_app.model.settings import Section, Settings, methods_of, section_names
from bids_app.qsm.method import PARAMETERS
from bids_app.qsm.params import Params, described, nearest
from bids_app.qsm.registry import CORRECTIONS, AnyMethod
from bids_app.report.methods.references import REFERENCES
from bids_app.report.methods.text import Methods

#: A paragraph: its text, and what stands before its first line.
Paragraph = tuple[str, str]
_GAP: Paragraph = "", ""


def explain(name: str, width: int = 100) -> str:
    """Return the explanation of ``section``, ``section.parameter``, ``section.method`` or ``section.method.parameter``.

    The section of a method can be left out: ``rts`` is ``inversion.rts``. ``list`` names the sections. Lines have
    ``width`` characters at most.

    Raises
    ------
    UsageError
        For a name that there is not, with the nearest one.
    """
    if name == "list":
        return "\n".join(f"{section:18}{_first_line(values.choice)}" for section, values in Settings().sections.items())
    sections = Settings().sections
    section, *rest = _in_full(name).split(".")
    if section not in sections:
        methods = [method.name for listed in section_names() for method in methods_of(listed)]
        raise UsageError(f"--explain: no section or method {section!r}: {_hint(section, methods)}")
    paragraphs = _inside(section, sections[section], rest) if rest else _section(section, sections[section])
    return "\n".join(line for text, first in paragraphs for line in _wrapped(text, first, width))


def _in_full(name: str) -> str:
    """Return a name that begins with a method, and with no section, with the section of the method before it."""
    first = name.partition(".")[0]
    if first in section_names():
        return name
    places = [section for section in section_names() if first in {method.name for method in methods_of(section)}]
    return f"{places[0]}.{name}" if len(places) == 1 else name


def _hint(name: str, methods: Sequence[str]) -> str:
    """Return the nearest section or method, else the sections: there are too many methods to list."""
    hint = nearest(name, [*section_names(), *methods])
    return hint if hint.startswith("did you mean") else nearest("", section_names())


def _inside(name: str, section: Section[Params], rest: Sequence[str]) -> Iterator[Paragraph]:
    """Yield the paragraphs about a choice or a method of a section."""
    methods = {method.name: method for method in methods_of(name)}
    choices = [field.name for field in dataclasses.fields(section.choice)]
    first, *parameter = rest
    if first in choices and not parameter:
        yield from _parameters(name, section.choice, only=first)
        if first in CORRECTIONS:
            yield from [_GAP, *_about(CORRECTIONS[first])]
        return
    if first not in methods or len(parameter) > 1:
        word = ".".join(rest)
        raise UsageError(f"--explain: no {name}.{word}: {nearest(first, [*choices, *methods])}")
    method, params = methods[first], section.methods[first]
    if parameter and parameter[0] not in [field.name for field in dataclasses.fields(params)]:
        hint = nearest(parameter[0], [field.name for field in dataclasses.fields(params)])
        raise UsageError(f"--explain: {name}.{first} has no parameter {parameter[0]!r}: {hint}")
    if not parameter:
        yield from [(f"{method.label}: {method.summary}", ""), _GAP, *_about(method), _GAP]
    yield from _parameters(f"{name}.{first}", params, only="".join(parameter))


def _section(name: str, section: Section[Params]) -> Iterator[Paragraph]:
    yield from [(f"{name}: {_first_line(section.choice)}", ""), _GAP, *_parameters(name, section.choice)]
    methods = list(methods_of(name))
    if methods:
        yield from [_GAP, (f"methods (parameters: --explain {name}.METHOD):", "")]
        for method in methods:
            mark = f" [{method.maturity}]" if method.is_own else ""
            yield f"{method.label}: {method.summary}{mark}", f"  {method.name:<11} "


def _about(method: AnyMethod) -> Iterator[Paragraph]:
    """Yield the sentence of the methods text, where the method comes from, and its papers."""
    (sentence,) = Methods((method.sentence.replace(PARAMETERS, ""),)).plain()
    yield sentence, ""
    yield f"maturity: {method.maturity}", ""
    for name, stage in method.stages.items():
        yield f"{name} above 0 adds a stage that is this software's own: {CORRECTIONS[stage].label}.", ""
    for key in method.citations:
        yield REFERENCES[key].text, "reference: "


def _parameters(prefix: str, params: Params, only: str = "") -> Iterator[Paragraph]:
    """Yield name, default, range and meaning of the parameters of a class, or of one of them."""
    for item in described(params):
        if only and item.name != only:
            continue
        unit = f" {item.unit}" if item.unit else ""
        value = item.value if item.value != "" else "(empty)"
        if isinstance(value, bool):
            value = str(value).lower()
        limits = ""
        if item.choices:
            limits = f"; one of {', '.join(item.choices)}"
        elif item.low is not None or item.high is not None:
            limits = f"; {item.low:g} to {item.high:g}{unit}"
        yield f"{prefix}.{item.name} = {value}{unit}{limits}", ""
        yield f"{item.doc}.", "    "


def _wrapped(text: str, first: str, width: int) -> list[str]:
    rest = " " * len(first)
    lines = textwrap.wrap(text, width, initial_indent=first, subsequent_indent=rest, break_on_hyphens=False)
    return lines or [""]


def _first_line(params: Params) -> str:
    return (type(params).__doc__ or "").strip().splitlines()[0]
