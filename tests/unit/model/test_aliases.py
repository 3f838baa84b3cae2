"""Old names and values of settings work, and say what they are called now."""

import pytest

from bids_app.cli.config import from_arguments, settings_from_arguments
from bids_app.cli.options import build_parser
from bids_app.model.aliases import RENAMED, STAGES, with_new_names
from bids_app.model.settings import build_settings, parse_set

CASES = [
    ("inversion.bayes.rounds=3", "inversion.bayes.outer_iterations", 3),
    ("background.ringing=keep", "background.alternation", "keep"),
    ("background.ringing=auto", "background.alternation", "remove"),
    ("background.transceive=auto", "background.transmit_receive_phase", "remove"),
    ("background.rim_sources=apart", "background.boundary_sources", "separate"),
    ("background.boundary_sources=apart", "background.boundary_sources", "separate"),
    ("background.trend=tissue", "background.null_space_trend", "remove"),
    ("background.trend=keep", "background.null_space_trend", "keep"),
    ("qc.rim_max=2", "qc.boundary_max", 2),
    ("group.linear_rounds=4", "group.linear_iterations", 4),
    ("group.syn_rounds=0", "group.syn_iterations", 0),
]


def value_of(settings, name):
    section, *method, key = name.split(".")
    values = settings.sections[section]
    return getattr(values.methods[method[0]] if method else values.choice, key)


def settings_of(*options):
    return settings_from_arguments(build_parser().parse_args(["in", "out", "participant", *options]))


@pytest.mark.parametrize(("assignment", "name", "value"), CASES)
def test_set_and_config_and_preset_take_the_old_names(assignment, name, value, tmp_path, capsys):
    old, _, given = assignment.partition("=")
    section, _, key = old.partition(".")
    quoted = given if given.isdigit() else f'"{given}"'
    path = tmp_path / "old.toml"
    path.write_text(f'title = "old"\n[{section}]\n{key} = {quoted}\n')
    for options in (["--set", assignment], ["--preset", str(path)]):
        assert value_of(settings_of(*options), name) == value
        said = capsys.readouterr().err
        assert said.startswith("qsm-bids-app: warning: ")
        assert f"{old} = {given} is called {name} = {value} now" in said
    path.write_text(f"[{section}]\n{key} = {quoted}\n")
    assert value_of(settings_of("--config", str(path)), name) == value
    assert f"--config {path}: {old}" in capsys.readouterr().err


def test_every_old_name_has_a_case_and_leads_to_a_setting():
    assert {assignment.partition("=")[0] for assignment, *_ in CASES} == set(RENAMED)
    for new in RENAMED.values():
        for value in new.values.values():
            section, _, key = new.name.partition(".")
            assert value_of(build_settings({section: {key: value}}), new.name) == value


def test_what_has_no_other_name_stays_and_says_nothing(capsys):
    tree = {"background": {"boundary_sources": "separate", "lbv": {"corrections": 0}}, "mask": {}, "title": "x"}
    assert with_new_names(tree, "here") == (tree, ())
    settings_of("--set", "background.boundary_sources=keep")
    assert capsys.readouterr().err == ""


def test_a_wrong_value_of_an_old_name_is_refused_under_the_new_one():
    renamed, _ = with_new_names(parse_set("background.trend=tissues"), "--set")
    assert renamed == {"background": {"null_space_trend": "tissues"}}


def test_preset_consensus_says_that_its_content_has_changed(capsys):
    assert settings_of("--preset", "consensus").inversion.choice.method == "medi"
    assert "is the preset default now" in capsys.readouterr().err
    assert settings_of().inversion.choice.method == "bayes"
    assert capsys.readouterr().err == ""


def test_a_setting_that_is_needed_no_longer_is_left_out_and_named(capsys):
    settings = settings_of("--set", "field.keep_phase=true")
    assert settings == build_settings({})
    assert "--set: field.keep_phase has no effect" in capsys.readouterr().err


@pytest.mark.parametrize(("old", "new"), STAGES.items())
def test_a_stage_with_an_old_name_runs_and_says_its_new_name(old, new, tmp_path, capsys):
    words = [str(tmp_path), str(tmp_path / "out"), "group", "--stage"]
    config = from_arguments(build_parser().parse_args([*words, old]))
    assert config.stage == new
    assert f"--stage {old} is called --stage {new} now" in capsys.readouterr().err
    assert from_arguments(build_parser().parse_args([*words, new])).stage == new
    assert "is called" not in capsys.readouterr().err
