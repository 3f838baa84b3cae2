"""What ``--export-dicom`` refuses before anything runs."""

import importlib.util

import pytest

from bids_app.cli.dicom_export import check_export
from bids_app.cli.options import build_parser
from bids_app.errors import InputRefusedError, ToolMissingError, UsageError


@pytest.fixture
def check(tmp_path):
    (tmp_path / "bids").mkdir()
    (tmp_path / "dicom").mkdir()

    def of(*words, level="participant"):
        named = [word.format(here=tmp_path) for word in words]
        check_export(build_parser().parse_args([str(tmp_path / "bids"), str(tmp_path / "out"), level, *named]))

    return of


SOURCE = ("--dicom-source", "{here}/dicom")


def test_an_export_into_a_new_folder_is_taken(check):
    check("--export-dicom", "{here}/back", *SOURCE)
    check("--export-dicom", "{here}/back", "--dicom-dir", "{here}/dicom")
    check()


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (("--export-dicom", "{here}/back"), UsageError, "needs --dicom-source"),
        (SOURCE, UsageError, "is for --export-dicom"),
        (("--export-dicom", "{here}/back", *SOURCE, "--cluster", "slurm"), UsageError, "without --cluster"),
        (("--export-dicom", "{here}/back", "--dicom-source", "{here}/none"), InputRefusedError, "there is no folder"),
        (("--export-dicom", "{here}/bids/sub-01", *SOURCE), InputRefusedError, "lies in the BIDS dataset"),
        (("--export-dicom", "{here}/out/dicom", *SOURCE), InputRefusedError, "lies in the BIDS dataset"),
        (("--export-dicom", "{here}", *SOURCE), InputRefusedError, "is not empty"),
    ],
)
def test_what_cannot_be_exported_is_one_sentence(check, words, error, says):
    with pytest.raises(error, match=says):
        check(*words)


def test_a_folder_of_any_other_bids_dataset_is_refused(check, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "dataset_description.json").write_text("{}")
    with pytest.raises(InputRefusedError, match="lies in the BIDS dataset"):
        check("--export-dicom", "{here}/other/sourcedata/new", *SOURCE)


def test_the_level_must_make_maps(check):
    with pytest.raises(UsageError, match="level participant"):
        check("--export-dicom", "{here}/back", *SOURCE, level="group")


def test_a_missing_package_is_named_with_the_command_that_installs_it(check, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ToolMissingError, match="pip install highdicom") as error:
        check("--export-dicom", "{here}/back", *SOURCE)
    assert error.value.exit_code == 4
