"""How the app starts, and what belongs to no single step."""

import sys

import pytest

from bids_app import tui
from bids_app.__main__ import main

pytest.importorskip("textual", reason="textual is not installed")

from bids_app.tui.screens.run import RunScreen
from tests.helpers.tui import drive, fits, press, settle, text, write_bids, write_command, write_results


def test_without_textual_one_sentence_says_what_to_install(monkeypatch, capsys):
    monkeypatch.setattr(tui, "find_spec", lambda name: None)
    assert main(["tui"]) == 4
    said = capsys.readouterr().err
    assert "needs the package textual" in said and "python -m pip install 'textual>=" in said
    assert said.count("\n") == 1


def test_without_a_terminal_one_sentence_says_so(monkeypatch, capsys):
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False, raising=False)
    assert main(["tui"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_other_commands_do_not_import_textual():
    import subprocess

    code = "import sys, bids_app.__main__ as m; m.command; print('textual' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "False\n"


def test_every_step_fits_a_small_terminal_and_explains_itself(tmp_path):
    bids = write_bids(tmp_path / "bids")
    write_results(bids / "derivatives" / "qsm", bids)

    async def script(app, pilot):
        for step in ("data", "check", "options", "run", "results"):
            assert app.screen.step == step
            assert fits(app), step
            await press(pilot, "f1")
            assert len(text(app, ".text Static")) > 100
            await press(pilot, "escape")
            await press(pilot, "ctrl+n")
        assert app.screen.step == "results"
        for step in ("run", "options", "check", "data"):
            await press(pilot, "escape")
            assert app.screen.step == step

    drive(script, bids)


def test_a_step_is_reached_by_a_click_but_not_without_data(tmp_path):
    async def script(app, pilot):
        await pilot.click("StepTitle:last-child")
        await settle(pilot)
        assert app.screen.step == "data"

    async def with_data(app, pilot):
        await pilot.click("StepTitle:last-child")
        await settle(pilot)
        assert app.screen.step == "results"

    drive(script)
    drive(with_data, write_bids(tmp_path / "bids"))


def test_the_command_is_copied(tmp_path):
    bids = write_bids(tmp_path / "bids")

    async def script(app, pilot):
        await press(pilot, "ctrl+y")
        assert app.clipboard == f"qsm-bids-app {bids} {bids}/derivatives/qsm participant"
        assert app.clipboard in text(app, "#command")

    drive(script, bids)


def test_quitting_a_running_command_is_asked_for(tmp_path):
    command = write_command(tmp_path / "app.py", "print('here', flush=True)\ntime.sleep(60)\n")

    async def script(app, pilot):
        app.action_go("run")
        await pilot.pause()
        await pilot.press("s")
        run = app.get_screen("run")
        assert isinstance(run, RunScreen)
        while not run.query_one("#output").lines:
            await pilot.pause(0.05)
        await pilot.press("ctrl+q")
        await pilot.pause()
        assert not app._exit
        await pilot.click("#yes")
        while run.runs:
            await pilot.pause(0.05)
        await pilot.pause(0.1)
        assert app._exit

    drive(script, write_bids(tmp_path / "bids"), command=command)
