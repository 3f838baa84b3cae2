"""The command line's options and their errors."""

import pytest

from bids_app.cli.config import from_arguments, settings_from_arguments, share_processors
from bids_app.cli.options import build_parser
from bids_app.errors import UsageError
from bids_app.model.settings import to_toml


def settings_of(*options):
    return settings_from_arguments(build_parser().parse_args(["in", "out", "participant", *options]))


def test_effective_parameters_can_be_given_again(tmp_path):
    settings = settings_of("--set", "inversion.rts.delta=0.2", "--set", "mask.two_pass=false")
    file = tmp_path / "config.toml"
    file.write_text(to_toml(settings, ["a comment"]))
    assert settings_of("--config", str(file)) == settings


def test_stages_are_known_by_their_old_names(capsys):
    words = ["in", "out", "group", "--stage"]
    assert from_arguments(build_parser().parse_args([*words, "members"])).stage == "subjects"
    assert "--stage members is called --stage subjects now" in capsys.readouterr().err
    assert from_arguments(build_parser().parse_args([*words, "maps"])).stage == "maps"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "cannot be read"),
        ('["a"]', "must be like"),
        ('{"gra": {}}', "did you mean 'gre'"),
        ('{"gre": {"acquisitoin": "x"}}', "did you mean 'acquisition'"),
    ],
)
def test_filter_file_mistakes(tmp_path, text, says):
    file = tmp_path / "filter.json"
    file.write_text(text)
    arguments = ["in", "out", "participant", "--bids-filter-file", str(file)]
    with pytest.raises(UsageError, match=says):
        from_arguments(build_parser().parse_args(arguments))


@pytest.mark.parametrize(
    ("cpus", "nprocs", "threads", "expected"),
    [
        (2, None, None, (1, 2)),
        (16, None, None, (4, 4)),
        (16, 2, None, (2, 8)),
        (8, 8, None, (8, 1)),
        (8, None, 2, (4, 2)),
        (1, 3, 2, (3, 2)),
    ],
)
def test_processors_are_shared(cpus, nprocs, threads, expected):
    assert share_processors(cpus, nprocs, threads) == expected
