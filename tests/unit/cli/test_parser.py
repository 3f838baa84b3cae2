"""Mistakes on the command line are answered by what was probably meant; shells can complete it."""

import argparse
import os
import subprocess
import sys

import pytest

from bids_app.cli.options import build_parser
from bids_app.cli.stages.options import build_parser as build_stage_parser
from bids_app.cli.types import gigabytes
from bids_app.errors import UsageError


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("in out participant --participant_label 01", "did you mean --participant-label?"),
        ("in out participant --dryrun", "did you mean --dry-run?"),
        ("in out participant --qsm_reference=csf", "did you mean --qsm-reference?"),
        ("in out particpant", "did you mean participant?"),
        ("in out participant --cluster slrum", "did you mean slurm?"),
        ("participant in out", "participant comes last: qsm-bids-app BIDS_DIR OUTPUT_DIR LEVEL"),
        ("in group out", "group comes last: qsm-bids-app BIDS_DIR OUTPUT_DIR LEVEL"),
        ("--participant-label 01 in out participant", "the words before the options are: qsm-bids-app BIDS_DIR"),
        ("in out", "the words before the options are: qsm-bids-app BIDS_DIR OUTPUT_DIR LEVEL"),
    ],
)
def test_a_mistake_is_answered_by_what_was_meant(words, says):
    with pytest.raises(UsageError) as caught:
        build_parser().parse_args(words.split())
    assert says in str(caught.value) and "see qsm-bids-app --help" in str(caught.value)


def test_stages_and_their_options_are_proposed_too():
    with pytest.raises(UsageError, match="did you mean field"):
        build_stage_parser().parse_args(["feild", "x.nii"])
    with pytest.raises(UsageError, match="did you mean --magnitude"):
        build_stage_parser().parse_args(["field", "x.nii", "--magnitud", "y"])


def test_an_unknown_option_that_resembles_none_gets_no_advice():
    with pytest.raises(UsageError) as caught:
        build_parser().parse_args(["in", "out", "participant", "--zzzz"])
    assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *(("8", 8), ("8GB", 8), ("8 gb", 8), ("8G", 8), ("1.5T", 1500), ("8000MB", 8), ("8GiB", 8.589934592)),
        *((".5", 0.5), ("512M", 0.512)),
    ],
)
def test_memory_takes_units(text, value):
    assert gigabytes(text) == pytest.approx(value)


@pytest.mark.parametrize("text", ["", "nan", "inf", "-1", "0", "1e300", "8XB", "8GBB", "0x8", "8,5", "9" * 400])
def test_memory_refuses_what_is_no_size(text):
    with pytest.raises(argparse.ArgumentTypeError, match="must be a size from"):
        gigabytes(text)


def test_help_begins_with_usage_in_three_lines_and_an_example():
    lines = build_parser().format_help().splitlines()
    assert lines[0] == "usage: qsm-bids-app BIDS_DIR OUTPUT_DIR LEVEL [LEVEL ...] [options]"
    assert [line.split()[:2] for line in lines[1:3]] == [["qsm-bids-app", "tui"], ["qsm-bids-app", "demo"]]
    assert any(line.startswith("example: qsm-bids-app ") for line in lines[:8])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("qsm-bids-app in out partic", {"participant"}),
        ("qsm-bids-app in out participant --dry", {"--dry-run"}),
        ("qsm-bids-app in out participant --preset hig", {"highres7t"}),
    ],
)
def test_a_shell_completes_levels_options_and_presets(tmp_path, line, expected):
    completions = tmp_path / "completions"
    variables = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(completions), "_ARGCOMPLETE_IFS": "\n"}
    variables |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "COMP_TYPE": "9"}
    code = "import sys; from bids_app.cli.command import main; sys.exit(main())"
    subprocess.run([sys.executable, "-c", code], env=os.environ | variables, check=True, cwd=tmp_path)
    assert {word.strip() for word in completions.read_text().splitlines()} == expected


def test_completion_costs_nothing_in_other_runs():
    code = (
        "import sys\nfrom bids_app.cli.command import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    print('argcomplete' in sys.modules, file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "False"
