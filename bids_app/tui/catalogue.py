"""Everything that can be chosen: the options of the parser and the parameters of the settings, with explanations.

Nothing is listed here: the parser and the classes of parameters are asked.
"""

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from bids_app.cli.options import build_parser
from bids_app.tui.plan import SOURCES

#: Options that the other screens set, or that print something and end.
_ELSEWHERE = {"help", "version", "show_preset", "explain", "verbose", "events", "series", "set", "nifti_table"}
_ELSEWHERE |= set(SOURCES.values())
_FIRST = "preset"
_ONE_WORD = ("true", "false")


@dataclass(frozen=True)
class Entry:
    """One option (``--preset``) or parameter (``inversion.method``)."""

    key: str  # destination of the option, or name of the parameter
    title: str
    group: str
    help: str
    choices: tuple[str, ...] = ()
    is_flag: bool = False
    is_parameter: bool = False
    hint: str = ""  # what a value is: FILE, N ...

    def matches(self, words: Sequence[str]) -> bool:
        """Return whether all words stand in the title, the group or the explanation."""
        text = f"{self.title} {self.group} {self.help}".lower()
        return all(word.lower() in text for word in words)


def options() -> list[Entry]:
    """Return the options of the command line, the preset first."""
    entries = []
    for group in build_parser()._action_groups:
        title = (group.title or "").partition(":")[0].partition("(")[0].strip()
        entries += [
            _option(action, title[:1].upper() + title[1:])
            for action in group._group_actions
            if action.option_strings and action.dest not in _ELSEWHERE and action.help != argparse.SUPPRESS
        ]
    return sorted(entries, key=lambda entry: entry.key != _FIRST)


def _option(action: argparse.Action, group: str) -> Entry:
    values = {"default": action.default, "prog": "qsm-bids-app", "metavar": action.metavar or ""}
    meta = " ".join(action.metavar) if isinstance(action.metavar, tuple) else action.metavar or ""
    choices = tuple(map(str, action.choices or ()))
    if action.dest == _FIRST:
        from bids_app.model.settings import preset_names

        choices = tuple(preset_names())
    return Entry(
        action.dest,
        max(action.option_strings, key=len),
        group,
        (action.help or "") % values,
        choices,
        action.nargs == 0,
        hint=meta,
    )


def parameters() -> Iterator[Entry]:
    """Yield the parameters of the settings in the order of the pipeline."""
    from bids_app.model.settings import Settings

    for name, section in Settings().sections.items():
        for prefix, params in ((name, section.choice), *((f"{name}.{m}", p) for m, p in section.methods.items())):
            for field in dataclasses.fields(params):
                choices = tuple(field.metadata.get("choices") or ())
                if isinstance(field.default, bool):
                    choices = _ONE_WORD
                yield Entry(
                    f"{prefix}.{field.name}",
                    f"{prefix}.{field.name}",
                    f"Parameters of {name}",
                    str(field.metadata.get("doc", "")),
                    choices,
                    is_parameter=True,
                    hint=str(field.metadata.get("unit", "")),
                )


def explanation(entry: Entry, chosen: str, width: int = 100) -> str:
    """Return what the user should know of an entry; of a preset or a method what the chosen one is."""
    if entry.is_parameter:
        from bids_app.cli.explain import explain
        from bids_app.model.settings import methods_of

        section = entry.key.partition(".")[0]
        is_method = chosen in entry.choices and chosen in {method.name for method in methods_of(section)}
        more = f"\n\n{explain(f'{section}.{chosen}', width)}" if is_method else ""
        return explain(entry.key, width) + more
    text = f"{entry.title}{f' {entry.hint}' if entry.hint else ''}\n\n{entry.help}."
    if entry.key == _FIRST:
        text += "\n\n" + preset_comment(chosen or "default")
    return text


def preset_comment(name: str) -> str:
    """Return the sentences at the top of a preset's file, and what it sets."""
    from bids_app.errors import UsageError
    from bids_app.model.settings import preset_text

    try:
        lines = preset_text(name).splitlines()
    except UsageError as error:
        return str(error)
    comment = [line.removeprefix("#").strip() for line in lines if line.startswith("#")]
    values = [line for line in lines if line.strip() and not line.startswith(("#", "title"))]
    return "\n".join([f"{name}:", " ".join(comment), "", *values])


def effective(values: Mapping[str, object], key: str) -> str:
    """Return the value of a parameter in nested settings as the user types it."""
    value: object = values
    for name in key.split("."):
        value = value.get(name, "") if isinstance(value, Mapping) else ""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else str(value)
