"""Step 4: a real process runs, is watched, and is stopped."""

import json

import pytest

pytest.importorskip("textual", reason="textual is not installed")

from bids_app.tui import app as tui_app
from bids_app.tui.progress import Events, Progress
from tests.helpers.tui import drive, press, settle, table, text, write_bids, write_command

GOOD = """
say(kind="message", text="Found 3 series.")
say(kind="jobs", names=["sub-01", "sub-01_report"])
say(kind="job-started", job="sub-01", step="", done=0, total=0, left_s=12)
say(kind="progress", job="sub-01", step="inversion", done=1, total=4, left_s=9)
print("[1/2] sub-01: inversion started", flush=True)
while not page.with_name("go").exists():
    time.sleep(0.02)
say(kind="job-finished", job="sub-01", step="", done=0, total=0, left_s=None)
say(kind="result", job="sub-01", status="done", seconds=3.2, warnings=["noisy"], failures=[])
say(kind="result", job="sub-01_report", status="unchanged", seconds=0.0, warnings=[], failures=[])
"""


def test_a_run_is_watched_to_its_end_and_the_report_opens(tmp_path, monkeypatch):
    bids = write_bids(tmp_path / "bids")
    page = bids / "derivatives" / "qsm" / "sub-01.html"
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(tui_app.webbrowser, "open", lambda address: opened.append(address) or True)
    body = f"import pathlib\npage = pathlib.Path({str(page)!r})\npage.parent.mkdir(parents=True)\npage.touch()\n"

    async def script(app, pilot):
        app.plan.options["preset"] = "fast"
        app.action_go("run")
        await pilot.pause()
        assert app.screen.query_one("#open").disabled
        await pilot.click("#start")
        while not any("25 %" in cell for row in table(app) for cell in row):
            await pilot.pause(0.05)
        assert table(app)[0][:3] == ["sub-01", "▶ running", "inversion"]
        assert text(app, "#time") == "0 of 2  about 10 s left"
        assert app.screen.query_one("#start").disabled
        page.with_name("go").touch()
        await settle(pilot)
        assert text(app, "#status") == "✓ All done."
        assert [row[:3] for row in table(app)] == [
            ["sub-01", "✓ done in 3 s", "noisy"],
            ["sub-01: report", "✓ unchanged", ""],
        ]
        said = [line.text for line in app.screen.query_one("#output").lines]
        assert "participant --preset fast" in " ".join(said)
        await press(pilot, "o")
        assert opened == [page.as_uri()]

    drive(script, bids, command=write_command(tmp_path / "app.py", body + GOOD + "print(*words[:5])\n"))


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("print('qsm-bids-app: no phase', file=sys.stderr)\nsys.exit(3)\n", "✗ The input was refused"),
        ("sys.exit(1)\n", "✗ Some runs failed"),
        ("import os\nos.kill(os.getpid(), 9)\n", "✗ The command ended with code 137."),
    ],
)
def test_how_a_run_ended_is_said(tmp_path, body, says):
    async def script(app, pilot):
        app.action_go("run")
        await press(pilot, "s")
        assert text(app, "#status").startswith(says)
        assert not app.screen.query_one("#start").disabled

    drive(script, write_bids(tmp_path / "bids"), command=write_command(tmp_path / "app.py", body))


def test_a_run_is_stopped_in_an_orderly_way_after_a_question(tmp_path):
    body = "import signal\nsignal.signal(15, lambda *_: sys.exit(143))\nprint('here', flush=True)\ntime.sleep(60)\n"

    async def script(app, pilot):
        app.action_go("run")
        await pilot.pause()
        await pilot.press("s")
        while not app.screen.query_one("#output").lines:
            await pilot.pause(0.05)
        await pilot.press("x")
        await pilot.pause()
        await pilot.press("escape")  # not yet
        await pilot.pause()
        assert app.screen.runs
        await pilot.press("x")
        await pilot.pause()
        await pilot.click("#yes")
        await settle(pilot)
        assert not app.screen.runs
        assert text(app, "#status").startswith("✗ Stopped. Start again")

    drive(script, write_bids(tmp_path / "bids"), command=write_command(tmp_path / "app.py", body))


def test_a_command_that_cannot_be_started_says_so(tmp_path):
    async def script(app, pilot):
        app.action_go("run")
        await press(pilot, "s")
        assert any("cannot be started" in line.text for line in app.screen.query_one("#output").lines)

    drive(script, write_bids(tmp_path / "bids"), command=[str(tmp_path / "none")])


def test_without_a_browser_the_place_of_the_report_is_shown(tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(tui_app.sys, "platform", "linux")
    bids = write_bids(tmp_path / "bids")
    (bids / "derivatives" / "qsm").mkdir(parents=True)
    (bids / "derivatives" / "qsm" / "sub-01.html").touch()

    async def script(app, pilot):
        app.action_go("run")
        await press(pilot, "o")
        assert str(bids / "derivatives" / "qsm" / "sub-01.html") in text(app, ".text Static")

    drive(script, bids)


def test_lines_that_are_not_whole_wait_and_unknown_ones_are_left_out(tmp_path):
    path = tmp_path / "events"
    events, progress = Events(path), Progress()
    assert events.lines() == []
    line = json.dumps({"kind": "jobs", "names": ["sub-01"]})
    path.write_text(line[:10])
    assert events.lines() == []
    path.write_text(f"{line}\nnot json\n" + '{"kind": "started", "job": "sub-99", "step": "x"}\n')
    for event in events.lines():
        progress.take(event)
    assert list(progress.jobs) == ["sub-01"]
    progress.take(
        json.dumps({"kind": "failed", "job": "sub-01", "step": "mask", "done": 0, "total": 0, "left_s": None})
    )
    progress.take(json.dumps({"kind": "job-finished", "job": "sub-01", "step": "", "done": 0, "total": 0}))
    assert (progress.jobs["sub-01"].status, progress.done) == ("FAILED", 1)
