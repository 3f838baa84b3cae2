"""The Boutiques descriptor is made from the parser and the file in the repository is what is made."""

import json
from pathlib import Path

import pytest

from bids_app.cli.descriptor import bids_descriptor, descriptor, text
from bids_app.cli.options import build_parser

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize(("name", "bids"), [("boutiques.json", False), ("boutiques-bids.json", True)])
def test_the_file_is_what_the_parser_gives(name, bids):
    assert (ROOT / name).read_text(encoding="utf-8") == text(bids), "the command line has changed: run `make boutiques`"


def test_every_option_is_there_with_a_sensible_type():
    entries = {entry["id"]: entry for entry in descriptor()["inputs"]}
    options = {action.dest for action in build_parser()._actions} - {"help", "version", "show_preset", "explain"}
    assert set(entries) == options
    assert entries["bids_dir"]["type"] == "File"
    assert entries["output_dir"]["type"] == "String"  # made by the command, need not exist
    assert entries["dry_run"]["type"] == "Flag"
    assert entries["omp_nthreads"]["type"] == "Number"
    assert entries["omp_nthreads"]["integer"]
    assert entries["mem"]["type"] == "Number"
    assert "integer" not in entries["mem"]
    for pair in ("template_iterations", "write_jobs"):
        assert (entries[pair]["list"], entries[pair]["min-list-entries"], entries[pair]["max-list-entries"]) == (
            True,
            2,
            2,
        )
    assert entries["levels"]["list"]
    assert "participant" in entries["levels"]["value-choices"]
    assert entries["set"]["list-separator"] == " --set="
    assert entries["job_option"]["command-line-flag-separator"] == "="  # its values begin with hyphens
    assert all(entry["description"] for entry in entries.values())


def test_descriptor_is_valid_by_the_schema():
    validator = pytest.importorskip("boutiques.validator")
    assert validator.validate_descriptor(descriptor())


def test_the_form_of_a_bids_app_is_what_boutiques_wants():
    bids = pytest.importorskip("boutiques.bids")
    validator = pytest.importorskip("boutiques.validator")
    bids.validate_bids(validator.validate_descriptor(bids_descriptor()), valid=True)


def test_outputs_are_listed_with_and_without_sessions(tmp_path):
    """A pattern of Boutiques is one of ``glob.glob``, where ``**`` is one level of folders."""
    from glob import glob

    maps = {"sub-01/anat/sub-01_Chimap.nii.gz", "sub-02/ses-1/anat/sub-02_ses-1_Chimap.nii.gz"}
    for name in maps:
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).touch()
    templates = [
        str(output["path-template"]) for output in descriptor()["output-files"] if "Chimap" in output["path-template"]
    ]
    paths = {path for template in templates for path in glob(template.replace("[OUTPUT_DIR]", str(tmp_path)))}  # noqa: PTH207
    assert paths == {str(tmp_path / name) for name in maps}
    assert not any("**" in str(output["path-template"]) for output in descriptor()["output-files"])


def test_positional_arguments_come_first():
    words = descriptor()["command-line"].split()
    assert words[:4] == ["qsm-bids-app", "[BIDS_DIR]", "[OUTPUT_DIR]", "[ANALYSIS_LEVEL]"]
    assert len(words) == len(set(words)) == len(descriptor()["inputs"]) + 1


def test_tests_of_the_descriptor_name_known_inputs_and_exit_codes():
    content = descriptor()
    known = {entry["id"] for entry in content["inputs"]}
    codes = {0} | {entry["code"] for entry in content["error-codes"]}
    for test in content["tests"]:
        assert set(test["invocation"]) <= known
        assert test["assertions"]["exit-code"] in codes
    assert json.loads(text()) == content
