"""Step 5: quality control is browsed, and ratings are kept where the group level reads them."""

import pytest

pytest.importorskip("textual", reason="textual is not installed")

from bids_app.derivatives.ratings import read_ratings
from bids_app.tui import app as tui_app
from tests.helpers.tui import drive, press, table, text, write_results


@pytest.fixture
def results(tmp_path):
    return write_results(tmp_path / "out", tmp_path / "bids")


async def go(app, pilot):
    app.action_go("results")
    await press(pilot)


def test_flags_come_with_their_meaning_and_advice(results):
    async def script(app, pilot):
        await go(app, pilot)
        assert [row[2] for row in table(app)] == ["–", "▲ field_drift"]
        assert text(app, "#summary") == "2 scans: 1 with flags, 0 rated, 0 excluded."
        assert "✓ All metrics are in their expected ranges." in text(app, "#metrics")
        await press(pilot, "down")
        said = text(app, "#metrics")
        assert "▲ field_drift is too high: 50 Hz; expected: 5 or less" in said
        assert "The echoes do not agree" in said

    drive(script, results)


def test_ratings_and_notes_are_kept_at_once(results):
    async def script(app, pilot):
        await go(app, pilot)
        await press(pilot, "g", "down", "x")
        await press(pilot, "n")
        await press(pilot, *"motion", "enter")
        assert [row[1::2] for row in table(app)] == [["✓ good", ""], ["✗ exclude", "motion"]]
        kept = read_ratings([results / "ratings.tsv"])
        assert {run: (r.rating, r.note) for run, r in kept.items()} == {
            "sub-01": ("good", ""),
            "sub-02": ("exclude", "motion"),
        }
        await press(pilot, "up", "r")
        await press(pilot, "n", "escape")
        assert list(read_ratings([results / "ratings.tsv"])) == ["sub-02"]

    async def again(app, pilot):
        await go(app, pilot)
        assert text(app, "#summary").endswith("1 rated, 1 excluded.")

    drive(script, results)
    drive(again, results)


def test_a_damaged_table_of_ratings_is_said_and_stays(results):
    (results / "ratings.tsv").write_text("run\trating\nsub-01\tsplendid\n")

    async def script(app, pilot):
        await go(app, pilot)
        await press(pilot, "g")
        assert any("splendid" in str(notification.message) for notification in app._notifications)
        assert table(app)[0][1] == "not rated"

    drive(script, results)
    assert "splendid" in (results / "ratings.tsv").read_text()


def test_the_report_of_the_marked_participant_opens(results, monkeypatch):
    opened = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(tui_app.webbrowser, "open", lambda address: opened.append(address) or True)

    async def script(app, pilot):
        await go(app, pilot)
        await press(pilot, "down", "o")
        await press(pilot, "up", "enter")

    drive(script, results)
    assert opened == [(results / f"sub-{label}.html").as_uri() for label in ("02", "01")]


def test_metrics_that_cannot_be_read_are_said(results):
    (results / "sub-01" / "anat" / "sub-01_qc.json").write_text("{")

    async def script(app, pilot):
        await go(app, pilot)
        assert table(app)[0][2] == "✗ unreadable"
        assert "sub-01_qc.json cannot be read" in text(app, "#metrics")

    drive(script, results)


def test_without_maps_it_says_what_to_do(tmp_path):
    async def script(app, pilot):
        app.plan.output_dir = tmp_path
        await go(app, pilot)
        await press(pilot, "g", "n", "o")
        assert "Run the command first" in text(app, "#metrics")

    drive(script)
