"""Step 3: everything that the parser and the settings know can be chosen."""

import argparse

import pytest

pytest.importorskip("textual", reason="textual is not installed")

from bids_app.cli.options import build_parser
from bids_app.tui import catalogue
from bids_app.tui.plan import Plan
from tests.helpers.tui import drive, press, text, type_into, write_bids


def test_every_option_is_in_the_list_or_has_a_screen_of_its_own():
    listed = {entry.key for entry in catalogue.options()}
    known = {a.dest for a in build_parser()._actions if a.option_strings and a.help != argparse.SUPPRESS}
    assert known - listed == catalogue._ELSEWHERE
    assert all(entry.help for entry in catalogue.options())
    assert catalogue.options()[0].key == "preset"


def test_every_parameter_has_an_explanation_in_narrow_lines():
    entries = list(catalogue.parameters())
    assert {"inversion.method", "inversion.tv.iterations", "mask.two_pass"} <= {entry.key for entry in entries}
    for entry in entries[:40]:
        said = catalogue.explanation(entry, "", 40)
        assert said.startswith(entry.key)
        assert max(map(len, said.splitlines())) <= max(40, len(entry.key) + 6)


def test_a_chosen_method_is_explained():
    (entry,) = [candidate for candidate in catalogue.parameters() if candidate.key == "inversion.method"]
    assert "reference: Liu" in catalogue.explanation(entry, "medi")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"preset": "fast"}, ["--preset", "fast"]),
        ({"force": "true"}, ["--force"]),
        ({"participant_label": "01 02"}, ["--participant-label", "01", "02"]),
        ({"model": "chi ~ age + sex"}, ["--model", "chi ~ age + sex"]),
        ({"job_option": "--qos=long '--time 1'"}, ["--job-option=--qos=long", "--job-option=--time 1"]),
        ({"config": "a folder/x.toml"}, ["--config", "a folder/x.toml"]),
        ({"template_iterations": "1 2"}, ["--template-iterations", "1", "2"]),
    ],
)
def test_options_are_spelled_as_the_parser_reads_them(options, expected):
    plan = Plan(options=options)
    assert plan.words()[3:] == expected
    args = vars(build_parser().parse_args(plan.words()))
    assert all(args[name] != build_parser().get_default(name) for name in options)


def test_the_command_follows_every_choice(tmp_path):
    async def script(app, pilot):
        app.action_go("options")
        await press(pilot)
        await type_into(app, pilot, "#search", "inversion method")
        tree = app.screen.query_one("#entries")
        for _ in range(8):  # options that the words of the search describe come first
            if tree.cursor_node.data is not None and tree.cursor_node.data.key == "inversion.method":
                break
            await press(pilot, "down")
        assert tree.cursor_node.data.key == "inversion.method"
        assert text(app, "#explanation").startswith("inversion.method = bayes")
        app.screen.query_one("#choice").value = "medi"
        await press(pilot)
        assert app.plan.command.endswith("--set inversion.method=medi")
        assert "MEDI" in text(app, "#explanation")
        assert str(tree.cursor_node.label).startswith("● inversion.method medi")
        await press(pilot, "ctrl+r")
        assert "--set" not in app.plan.command

    drive(script, write_bids(tmp_path / "bids"))


def test_a_wrong_value_is_said_at_once_and_a_preset_changes_defaults(tmp_path):
    async def script(app, pilot):
        app.action_go("options")
        await press(pilot)
        assert app.screen.query_one("#entries").cursor_node.data.key == "preset"
        app.screen.query_one("#choice").value = "tgv"
        await press(pilot)
        assert "--preset tgv" in text(app, "#command")
        assert "Single-step TGV" in text(app, "#explanation")
        await press(pilot, "ctrl+g", *"two_pass", "enter", "down")
        assert app.screen.query_one("#choice").prompt == "default: true"
        await type_into(app, pilot, "#search", "--mem")
        await press(pilot, "down")
        app.screen.query_one("#value").value = "much"
        await press(pilot)
        assert text(app, "#wrong").startswith("✗ argument --mem")
        app.screen.query_one("#value").value = ""
        await press(pilot)
        assert text(app, "#wrong") == ""

    drive(script, write_bids(tmp_path / "bids"))
