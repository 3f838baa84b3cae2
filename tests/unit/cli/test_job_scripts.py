"""Job scripts give jobs the words that the user typed: paths are absolute, and every character of a name is one."""

import json
import os
import shlex
import subprocess

import pytest

from bids_app.cli.config import from_arguments
from bids_app.cli.job_options import options_for_jobs
from bids_app.cli.options import build_parser
from bids_app.cli.submission import Submission
from bids_app.errors import UsageError

#: Names that shells, schedulers, patterns and options read in their own way.
HOSTILE = ("R&D (1)", "a'b\"c", "$HOME", "`id`", "é ü", "a;b", "-rf", "x:y", "a,b", "#1", "!x", "~", "*", "[a]", "\\n")


def parsed(words):
    args = build_parser().parse_args(words)
    return from_arguments(args, tuple(words), options_for_jobs(args))


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Return a function that makes a folder of a hostile name with a study in it, and goes there."""

    def of(name):
        folder = tmp_path / name
        for label in ("01", "02"):
            (folder / "data" / f"sub-{label}").mkdir(parents=True)
        (folder / "data" / "dataset_description.json").write_text("{}")
        for place in ("at:las", "tem,plate", "deriv/sub-01", "fast"):
            (folder / place).mkdir(parents=True)
        for place in ("my.toml", "preset", "c.toml", "image.sif", "tool.py", "d.nii", "l.tsv", "r.tsv"):
            (folder / place).write_text("")
        (folder / "filter.json").write_text(json.dumps({"gre": {}}))
        monkeypatch.chdir(folder)
        return folder

    return of


#: Every option that takes a path, relative to the folder of the command.
PATHS = {
    "--atlas": "at:las:one",
    "--template": "tem,plate",
    "--derivatives": "deriv",
    "--fastsurfer-home": "fast",
    "--preset": "./preset",
    "--config": "c.toml",
    "--bids-filter-file": "filter.json",
    "--segmentation": "./a*/x_dseg.nii.gz",
    "--extra-dseg": "../b*_dseg.nii.gz",
    "--group-dseg": "d.nii",
    "--group-labels": "l.tsv",
    "--ratings": "r.tsv",
    "--brain-extraction": "python ./tool.py {image} {mask}",
    "--work-dir": "work",
}


def written(folder, scheduler, levels=("participant",)):
    words = ["data", "out", *levels, "--write-jobs", scheduler, "jobs", "--mask", "bet"]
    words += ["--container-command", "apptainer run image.sif"]
    config = parsed([*words, *(f"{flag}={value}" for flag, value in PATHS.items())])
    submission = Submission(config.levels, config.selection, config.settings, config.context, config.cluster)
    assert submission.write(*config.cluster.write) == 0
    return folder / "jobs"


def words_of(script, index, variable):
    """Run one job with a stand-in for the container's program, which prints its words; return them."""
    bin_folder = script.parents[2] / "bin"  # a name with a colon cannot be on the PATH
    bin_folder.mkdir(exist_ok=True)
    (bin_folder / "apptainer").write_text('#!/bin/bash\nprintf "%s\\0" "$PWD" "$@"\n')
    (bin_folder / "apptainer").chmod(0o755)
    environment = {"PATH": f"{bin_folder}{os.pathsep}/usr/bin{os.pathsep}/bin", variable: str(index), "HOME": "/"}
    done = subprocess.run(["bash", script], env=environment, cwd="/", capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return done.stdout.split("\0")[:-1]


@pytest.mark.parametrize("name", HOSTILE)
def test_jobs_get_every_path_as_it_is(home, name):
    folder = home(name)
    scheduler, variable = (("slurm", "SLURM_ARRAY_TASK_ID"), ("pbs", "PBS_ARRAY_INDEX"))[len(name) % 2]
    script = written(folder, scheduler) / "participant.sh"
    cwd, run, image, bids, out, level, *options = words_of(script, 2, variable)
    assert [cwd, run, image] == [str(folder), "run", str(folder / "image.sif")]
    assert [bids, out, level] == [str(folder / "data"), str(folder / "out"), "participant"]
    assert options[-2:] == ["--participant-label", "02"]
    for flag, value in PATHS.items():
        place = options[options.index(flag) + 1]
        if flag == "--brain-extraction":
            assert shlex.split(place) == ["python", str(folder / "tool.py"), "{image}", "{mask}"]
        else:
            assert place == os.path.normpath(folder / value), flag
    # A job reads its own words as the user's command was read.
    config = parsed([bids, out, level, *options[:-2]])
    typed = [word for pair in PATHS.items() for word in pair]
    assert config.settings == parsed(["data", "out", "participant", "--mask", "bet", *typed]).settings


@pytest.mark.parametrize(("scheduler", "variable"), [("slurm", "SLURM_ARRAY_TASK_ID"), ("pbs", "PBS_ARRAY_INDEX")])
@pytest.mark.parametrize("index", [3, 99])
def test_an_element_beyond_the_list_processes_nobody(home, scheduler, variable, index):
    script = written(home("plain"), scheduler) / "participant.sh"
    *_, flag, label = words_of(script, index, variable)
    assert (flag, label) == ("--participant-label", "")
    with pytest.raises(UsageError, match="a label is empty"):
        parsed(["data", "out", "participant", flag, label])


def test_paths_among_settings_are_absolute_too(home):
    folder = home("plain")
    changes = ["segmentation.atlas=at:las:one", "group.template=./tem,plate", "segmentation.extra=./x*_dseg.nii"]
    changes += ["group.dseg=d.nii", "brain_extraction.program='python tool.py {image} {mask}'", "mask.filled=bet"]
    settings = parsed(["data", "out", "group", *(word for change in changes for word in ("--set", change))]).settings
    assert settings.segmentation.choice.atlas == f"{folder}/at:las:one"
    assert settings.segmentation.choice.extra == (f"{folder}/x*_dseg.nii",)
    assert settings.group.choice.template == f"{folder}/tem,plate"
    assert settings.group.choice.dseg == f"{folder}/d.nii"
    assert settings.brain_extraction.choice.program == f"python {folder}/tool.py '{{image}}' '{{mask}}'"
    with pytest.raises(UsageError, match=r"group.template: is too long"):
        parsed(["data", "out", "group", "--set", f"group.template={'x' * 300}"])


@pytest.mark.parametrize("pattern", ["a**b", "/", "///", "**x/y.nii"])
def test_patterns_that_are_none_are_refused(pattern):
    from bids_app.adapters.existing import check_pattern

    with pytest.raises(UsageError, match=r"pattern .* stands for folders"):
        check_pattern(pattern)
