"""The command that a crash file gives."""

from dataclasses import replace

import pytest

from bids_app.cli.config import from_arguments
from bids_app.cli.options import build_parser
from bids_app.cli.session import command_of


@pytest.mark.parametrize(
    "options",
    [
        ["--participant-label", "01", "02", "--force"],
        ["--force", "--participant-label", "02"],
        ["--participant-label=02", "--force"],
        ["--force", "--session-label", "a", "b", "--participant-label", "01"],
        ["--force"],
    ],
)
def test_the_command_for_one_participant_keeps_the_other_options(options):
    words = ["in", "out", "participant", *options]
    config = replace(from_arguments(build_parser().parse_args(words)), command=tuple(words))
    said = command_of(config.command, "01", "b").split()
    assert said[0] == "qsm-bids-app"
    again = from_arguments(build_parser().parse_args(said[1:]))
    assert again.selection.participants == ("01",)
    assert again.selection.sessions == ("b",)
    assert again.force
    assert again.levels == ("participant",)
