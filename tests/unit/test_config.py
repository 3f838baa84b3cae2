"""Presets, --set and their errors."""

import pytest

from bids_app.cli import build_parser
from bids_app.config import (
    build_settings,
    from_arguments,
    merge,
    parse_set,
    preset_names,
    preset_text,
    settings_from_arguments,
    share_processors,
    to_toml,
)
from bids_app.errors import UsageError


def test_every_preset_is_valid():
    import tomllib

    for name in preset_names():
        tree = tomllib.loads(preset_text(name))
        assert tree.pop("title") == name
        assert build_settings(tree).inversion.choice.method


def test_set_reaches_the_method():
    tree = merge(parse_set("inversion.rts.delta=0.2"), parse_set("inversion.method=rts"))
    settings = build_settings(tree)
    assert settings.inversion.of("rts").delta == 0.2
    assert settings.to_mapping()["inversion"]["rts"]["delta"] == 0.2
    assert "tkd" not in settings.to_mapping()["inversion"]


@pytest.mark.parametrize(
    ("assignment", "says"),
    [
        ("inversion.metod=rts", "did you mean 'method'"),
        ("inversion.method=rst", "did you mean 'rts'"),
        ("invertion.method=rts", "did you mean 'inversion'"),
        ("inversion.rts.delta=9", "between"),
        ("mask.filled='quality,otsy:1'", "did you mean 'otsu'"),
        ("inversion.method=tgv", "set background.method=none"),
        ("background.method=none", "needs a background method before it"),
        ("inversion.per_echo=true", "goes with a method that takes phase"),
        ("inversion", "expected section.name=value"),
    ],
)
def test_mistakes_name_the_nearest_valid_word(assignment, says):
    with pytest.raises(UsageError, match=says):
        build_settings(parse_set(assignment))


def settings_of(*options):
    return settings_from_arguments(build_parser().parse_args(["in", "out", "participant", *options]))


def test_effective_parameters_can_be_given_again(tmp_path):
    settings = settings_of("--set", "inversion.rts.delta=0.2", "--set", "mask.two_pass=false")
    file = tmp_path / "config.toml"
    file.write_text(to_toml(settings, ["a comment"]))
    assert settings_of("--config", str(file)) == settings


@pytest.mark.parametrize(
    ("text", "says"),
    [("{", "cannot be read"), ('["a"]', "must be like"), ('{"gra": {}}', "did you mean 'gre'"),
     ('{"gre": {"acquisitoin": "x"}}', "did you mean 'acquisition'")],
)  # fmt: skip
def test_filter_file_mistakes(tmp_path, text, says):
    file = tmp_path / "filter.json"
    file.write_text(text)
    arguments = ["in", "out", "participant", "--bids-filter-file", str(file)]
    with pytest.raises(UsageError, match=says):
        from_arguments(build_parser().parse_args(arguments))


@pytest.mark.parametrize(
    ("cpus", "nprocs", "threads", "expected"),
    [(2, None, None, (1, 2)), (16, None, None, (4, 4)), (16, 2, None, (2, 8)), (8, 8, None, (8, 1)),
     (8, None, 2, (4, 2)), (1, 3, 2, (3, 2))],
)  # fmt: skip
def test_processors_are_shared(cpus, nprocs, threads, expected):
    assert share_processors(cpus, nprocs, threads) == expected
