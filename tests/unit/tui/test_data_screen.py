"""Step 1: what a folder is, and what follows from it."""

import json

import pytest

pytest.importorskip("textual", reason="textual is not installed")

from bids_app.tui.look import identify
from tests.helpers import dicom
from tests.helpers.tui import drive, press, settle, text, type_into, write_bids, write_results


def test_what_a_folder_is(tmp_path):
    bids = write_bids(tmp_path / "bids")
    results = write_results(bids / "derivatives" / "qsm", bids)
    dicom.siemens_gre(tmp_path / "dicom", echo_times=(5.0,))
    (tmp_path / "loose").mkdir()
    (tmp_path / "loose" / "gre.nii.gz").touch()
    (tmp_path / "empty").mkdir()
    kinds = {name: identify(tmp_path / name).kind for name in ("bids", "dicom", "loose", "empty", "none")}
    assert kinds == {"bids": "bids", "dicom": "dicom", "loose": "nifti", "empty": "", "none": ""}
    assert identify(bids).sentence == "A BIDS dataset with 2 participants."
    assert (identify(results).kind, identify(results).bids_dir) == ("results", bids)
    assert "no such folder" in identify(tmp_path / "none").sentence
    (bids / "dataset_description.json").write_text("{")
    assert "cannot be read" in identify(bids).sentence


def test_scans_are_converted_first_and_levels_are_chosen(tmp_path):
    scans = tmp_path / "my scans"
    dicom.siemens_gre(scans, echo_times=(5.0,))

    async def script(app, pilot):
        await type_into(app, pilot, "#folder", str(scans))
        assert text(app, "#sight").startswith("✓ my scans: DICOM files.")
        bids = tmp_path / "bids"
        assert app.plan.command == (
            f"qsm-bids-app {bids} {bids}/derivatives/qsm convert participant --dicom-dir '{scans}'"
        )
        await pilot.click("#group")
        await settle(pilot)
        assert app.plan.levels == ("convert", "participant", "group")
        app.screen.query_one("#results").value = str(tmp_path / "out")
        app.screen.query_one("#bids").value = str(tmp_path / "data")
        await settle(pilot)
        assert f"qsm-bids-app {tmp_path}/data {tmp_path}/out convert participant group" in text(app, "#command")

    drive(script)


def test_a_wrong_folder_leads_nowhere(tmp_path):
    async def script(app, pilot):
        await type_into(app, pilot, "#folder", str(tmp_path))
        assert text(app, "#sight").startswith("✗")
        assert app.screen.query_one("#next").disabled
        await press(pilot, "ctrl+n")
        assert app.screen.step == "data"

    drive(script)


def test_a_folder_is_picked_in_the_tree_and_completed_while_typed(tmp_path, monkeypatch):
    write_bids(tmp_path / "study")
    monkeypatch.chdir(tmp_path)

    async def script(app, pilot):
        app.screen.query_one("#folder").value = f"{tmp_path}/st"
        await press(pilot, "end", "u", "right")
        assert app.screen.query_one("#folder").value == f"{tmp_path}/study"
        await press(pilot, "down", "enter")  # from the field into the tree
        assert app.plan.bids_dir == tmp_path / "study"
        app.screen.query_one("#participant").value = False
        await settle(pilot)
        await press(pilot, "ctrl+n")
        assert app.screen.step == "data"  # nothing is to be done

    drive(script)


def test_results_lead_to_their_ratings(tmp_path):
    results = write_results(tmp_path / "out", tmp_path / "bids")

    async def script(app, pilot):
        await press(pilot, "ctrl+n")
        assert app.screen.step == "results"

    drive(script, results)


def test_results_of_an_unknown_dataset_can_be_rated_but_not_made_again(tmp_path):
    results = write_results(tmp_path / "out", tmp_path / "bids")
    description = json.loads((results / "dataset_description.json").read_text())
    (results / "dataset_description.json").write_text(json.dumps({**description, "DatasetLinks": {}}))

    async def script(app, pilot):
        app.action_go("check")
        await settle(pilot)
        assert "Choose its folder in step 1" in text(app, "#why")
        app.action_go("run")
        await press(pilot, "s")
        assert "Choose its folder in step 1" in text(app, "#status")
        assert app.screen.query_one("#start").disabled and not app.screen.runs

    drive(script, results)
