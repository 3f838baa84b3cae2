"""Step 2: what was found, what is wrong, and corrections."""

import json
from multiprocessing import resource_tracker

import pytest

pytest.importorskip("textual", reason="textual is not installed")

from bids_app.convert.name.series_table import read_series_table
from tests.helpers import dicom
from tests.helpers.tui import drive, fits, press, settle, table, text, write_bids


def test_a_series_that_was_judged_wrongly_is_corrected(tmp_path):
    field_map = dict.fromkeys(("SeriesDescription", "ProtocolName"), "gre_field_mapping")
    dicom.siemens_gre(tmp_path / "dicom", echo_times=(5.0, 10.0), joint=True, **field_map)

    async def script(app, pilot):
        await press(pilot, "ctrl+n")
        assert [row[3] for row in table(app)] == ["– skip"]
        assert "field map, by its sequence" in text(app, "#why")
        await press(pilot, "c")
        await press(pilot, "enter", "down", "down", "enter")  # of the names: MEGRE
        await pilot.click("#save")
        await settle(pilot)
        assert [row[3:] for row in table(app)] == [["✎ ✓ convert", "echo-1_part-mag_MEGRE +3"]]
        file = tmp_path / "bids" / "derivatives" / "qsm" / "logs" / "conversion_series.tsv"
        assert f"--series {file}" in app.plan.command
        ((outcome, *_),) = app.plan.series.values()
        assert read_series_table(file).of(outcome) == ("MEGRE", "")
        await press(pilot, "c")
        await press(pilot, "enter", "end", "enter")  # another name, which is typed
        app.screen.query_one("#typed").value = "acq-fm_MEGERE"
        await pilot.click("#save")
        await settle(pilot)
        assert "write skip, or a suffix" in text(app, "#wrong")
        app.screen.query_one("#typed").value = "acq-fm_MEGRE"
        app.screen.query_one("#typed").focus()
        await press(pilot, "enter")
        assert table(app)[0][4] == "acq-fm_echo-1_part-mag_MEGRE +3"
        assert fits(app)

    drive(script, tmp_path / "dicom")


def test_many_scans_are_read_in_several_processes(tmp_path, monkeypatch):
    """While the app runs, stderr is no file, which the helper of multiprocessing needs when it starts."""
    monkeypatch.setattr("bids_app.convert.scan.files._MANY_FILES", 2)
    monkeypatch.setattr("bids_app.tui.look.os.cpu_count", lambda: 2)
    resource_tracker._resource_tracker._stop()
    dicom.siemens_gre(tmp_path / "dicom", echo_times=(5.0, 10.0))

    async def script(app, pilot):
        await press(pilot, "ctrl+n")
        assert [row[3] for row in table(app)] == ["✓ convert", "✓ convert"]

    drive(script, tmp_path / "dicom")


def test_scans_that_cannot_be_converted_say_why(tmp_path):
    (tmp_path / "dicom").mkdir()
    (tmp_path / "dicom" / "one.dcm").write_bytes(b"no DICOM at all")

    async def script(app, pilot):
        await press(pilot, "ctrl+n")
        assert text(app, "#summary").startswith("✗")
        assert "No DICOM file" in text(app, "#why")

    drive(script, tmp_path / "dicom")


def test_a_problem_is_shown_with_its_run_and_goes_when_it_is_corrected(tmp_path):
    bids = write_bids(tmp_path / "bids")
    sidecar = bids / "sub-02" / "anat" / "sub-02_echo-2_part-phase_MEGRE.json"
    content = json.loads(sidecar.read_text())
    sidecar.write_text(json.dumps({**content, "EchoTime": None}))

    async def script(app, pilot):
        await press(pilot, "ctrl+n")
        assert [row[-1] for row in table(app)] == ["✓ ready", "✗ 1 problem"]
        assert text(app, "#summary") == "✗ 1 to correct before it can run."
        await press(pilot, "down")
        assert "✗ sub-02_echo-2_part-phase_MEGRE.nii.gz: no EchoTime" in text(app, "#why")
        sidecar.write_text(json.dumps(content))
        await press(pilot, "ctrl+r")
        assert [row[-1] for row in table(app)] == ["✓ ready", "✓ ready"]
        assert "echo times 5, 10 ms" in text(app, "#why")
        await press(pilot, "c")
        assert app.screen.step == "check"  # nothing of a dataset is corrected here

    drive(script, bids)


def test_problems_of_no_run_are_shown_too(tmp_path):
    bids = write_bids(tmp_path / "bids", subjects=())

    async def script(app, pilot):
        await press(pilot, "ctrl+n")
        assert "no gradient-echo phase" in text(app, "#why")

    drive(script, bids)


def test_the_check_is_that_of_the_command_with_its_options(tmp_path):
    async def script(app, pilot):
        app.plan.options["participant_label"] = "02"
        await press(pilot, "ctrl+n")
        assert [row[0] for row in table(app)] == ["sub-02"]
        app.plan.options["segmentation"] = "nosuch"
        await press(pilot, "escape", "ctrl+n")
        assert table(app) == []
        assert "nosuch" in text(app, "#why")

    drive(script, write_bids(tmp_path / "bids"))
