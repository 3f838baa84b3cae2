"""What the pages tell users to type is what the commands take: options, parameters, presets, masks, whole commands."""

import argparse
import re
import shlex
from pathlib import Path

import pytest

from bids_app.cli.options import build_parser
from bids_app.cli.stages.options import build_parser as build_stages_parser
from bids_app.model.settings import build_settings, parse_set, preset_names

ROOT = Path(__file__).parents[2]
PAGES = [
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs" / "methods").glob("own_*.md")),
    ROOT / "README.md",
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
#: Options of other programs that the pages name.
_OTHERS = {
    *("--rm", "--user", "--userns", "--cleanenv", "--build-arg", "--install", "--read-only", "--network", "--bids"),
    *("--upgrade", "--strict", "--qos", "--image", "--b0-direction", "--nv", "--gres"),
}


def parsers(parser):
    """Give a parser and those of its stages."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for inner in action.choices.values():
                yield from parsers(inner)


def known_options():
    from bids_app.phantom.options import build_parser as build_phantom_parser

    every = [*parsers(build_parser()), *parsers(build_stages_parser()), *parsers(build_phantom_parser())]
    return {name for parser in every for action in parser._actions for name in action.option_strings}


def own_text(name, text):
    """Return a page without command lines of other programs, and without the first column of what to come from."""
    text = re.sub(r"`(?:qsmxt|dicom-convert|hd-bet|mri_synthstrip|bet) [^`]*`|'my-tool [^']*'", "", text)
    return re.sub(r"^\|[^|]*\|", "|", text, flags=re.MULTILINE) if name.endswith("coming_from.md") else text


@pytest.mark.parametrize("name", TEXTS)
def test_every_option_of_a_page_is_an_option(name):
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", own_text(name, TEXTS[name])))
    assert named - known_options() - _OTHERS == set()


def assignments():
    texts = {match for text in TEXTS.values() for match in re.findall(r"--set ([a-z_0-9.]+=[^\s`\"']+)", text)}
    return sorted(value for value in texts if not re.search(r"[A-Z]", value))  # NAME and VALUE stand for something


@pytest.mark.parametrize("assignment", assignments())
def test_every_parameter_of_a_page_can_be_set(assignment):
    build_settings(parse_set(assignment))


def test_every_preset_of_a_page_is_a_preset():
    named = {name for text in TEXTS.values() for name in re.findall(r"--preset ([a-z][\w-]*)(?![\w.-])", text)}
    assert named - set(preset_names()) == set()


def commands():
    for name, text in TEXTS.items():
        for block in re.findall(r"```console\n(.*?)```", text, re.DOTALL):
            joined = block.replace("\\\n", " ")
            for line in re.findall(r"^\$ (qsm-bids-app .*)$", joined, re.MULTILINE):
                words = shlex.split(line, comments=True)[1:]
                if words[0] != "demo" and words[0] != "tui" and "--version" not in words:
                    yield pytest.param(words, id=f"{name}: {' '.join(words)[:60]}")


@pytest.mark.parametrize("words", list(commands()))
def test_every_command_of_a_page_is_parsed(words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = build_parser().parse_args(words)
    assert args.levels
