"""The Boutiques descriptor is made from the parser and the file in the repository is what is made."""

import json
from pathlib import Path

import pytest

from bids_app.cli.descriptor import descriptor, text
from bids_app.cli.options import build_parser

FILE = Path(__file__).parents[3] / "boutiques.json"


def test_the_file_is_what_the_parser_gives():
    assert FILE.read_text(encoding="utf-8") == text(), "the command line has changed: run `make boutiques`"


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
    assert entries["set"]["list-separator"] == " --set "
    assert all(entry["description"] for entry in entries.values())


def test_descriptor_is_valid_by_the_schema():
    validator = pytest.importorskip("boutiques.validator")
    assert validator.validate_descriptor(descriptor())


def test_positional_arguments_come_first():
    words = descriptor()["command-line"].split()
    assert words[:4] == ["qsm-bids-app", "[BIDS_DIR]", "[OUTPUT_DIR]", "[LEVELS]"]
    assert len(words) == len(set(words)) == len(descriptor()["inputs"]) + 1


def test_tests_of_the_descriptor_name_known_inputs_and_exit_codes():
    content = descriptor()
    known = {entry["id"] for entry in content["inputs"]}
    codes = {0} | {entry["code"] for entry in content["error-codes"]}
    for test in content["tests"]:
        assert set(test["invocation"]) <= known
        assert test["assertions"]["exit-code"] in codes
    assert json.loads(text()) == content
