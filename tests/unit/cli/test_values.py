"""Values that hang, slip through or mean something else are refused; places are absolute from the parser on."""

import os
import subprocess

import pytest

from bids_app.cli.command import main
from bids_app.cli.config import from_arguments
from bids_app.cli.options import build_parser
from bids_app.engine.arrays import ArrayStage, Site, _short, write_scripts
from bids_app.engine.resources import DEFAULTS
from bids_app.errors import InputRefusedError, UsageError


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--stage-patience", "nan"], "from 0 to 86400"),
        (["--stage-patience", "inf"], "from 0 to 86400"),
        (["--stage-patience", "-1"], "from 0 to 86400"),
        (["--mem", "nan"], "must be a size from"),
        (["--nprocs", "0"], "from 1 to"),
        (["--permutations", "1e9"], "from 1 to"),
        (["--participant-label", ""], "a label is empty"),
        (["--participant-label", "01", ""], "a label is empty"),
        (["--participant-label", "sub-"], "a label is empty"),
        (["--participant-label", " , "], "a label is empty"),
        (["--session-label", ""], "a label is empty"),
        (["--work-dir", ""], "a path is empty"),
        (["--mask", "quality,otsu:nan"], "is not between"),
        (["--mask", "quality,percentile:200"], "is not between"),
        (["--segmentation", "*{subject.__class__}*"], "only {subject} and {session}"),
        (["--extra-dseg", "{session!r}_dseg.nii"], "only {subject} and {session}"),
    ],
)
def test_values_out_of_range_are_usage_errors(tmp_path, capsys, words, says):
    bids = tmp_path / "bids"
    (bids / "sub-01").mkdir(parents=True)
    (bids / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    code = main([str(bids), str(tmp_path / "out"), "participant", "--dry-run", *words])
    said = capsys.readouterr().err
    if "{" in words[1]:  # patterns are looked at after the dataset, which is refused here
        from bids_app.adapters.existing import check_pattern

        with pytest.raises(UsageError, match=r"only .subject. and .session."):
            check_pattern(words[1])
        return
    assert code == 2 and says in said and "Traceback" not in said


def config(folder, *words):
    return from_arguments(build_parser().parse_args([str(folder / "bids"), str(folder / "out"), "participant", *words]))


def test_work_folder_is_a_folder_of_its_own(tmp_path):
    (tmp_path / "bids" / "sub-01").mkdir(parents=True)
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below", "bids", "bids/sub-01/work", "bids/sourcedata"):
        with pytest.raises(UsageError, match="--work-dir"):
            config(tmp_path, "-w", str(tmp_path / place))
    assert config(tmp_path, "-w", str(tmp_path / "bids" / "derivatives" / "work")).work_dir.name == "work"


def test_a_derivative_folder_without_a_participant_is_refused_with_the_place_of_a_mask(tmp_path):
    (tmp_path / "bids" / "sub-01").mkdir(parents=True)
    loose, nested = tmp_path / "loose", tmp_path / "nested"
    loose.mkdir()
    (loose / "brain_mask.nii.gz").write_text("")
    (nested / "fmriprep" / "sub-01").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"no folder of a participant; .*loose/sub-01/anat/sub-01_desc-brain_mask"):
        config(tmp_path, "--derivatives", str(loose))
    assert config(tmp_path, "--derivatives", str(nested)).derivatives == (nested,)


def test_relative_places_are_absolute_for_the_jobs(tmp_path, monkeypatch):
    from bids_app.cli.job_options import options_for_jobs

    monkeypatch.chdir(tmp_path)
    (tmp_path / "atlas").mkdir()
    (tmp_path / "own.toml").write_text("")
    (tmp_path / "qsm.sif").write_text("")
    words = ["--atlas", "atlas:x", "--preset", "own.toml", "--template", "atlas", "--config", "own.toml"]
    args = build_parser().parse_args(["bids", "out", "group", *words, "--container-command", "apptainer run qsm.sif"])
    passed = options_for_jobs(args)
    assert passed[passed.index("--atlas") + 1] == f"{tmp_path}/atlas:x"
    assert passed[passed.index("--preset") + 1] == f"{tmp_path}/own.toml"
    assert passed[passed.index("--template") + 1] == f"{tmp_path}/atlas"
    assert passed[passed.index("--config") + 1] == f"{tmp_path}/own.toml"
    config = from_arguments(
        build_parser().parse_args(["bids", "out", "participant", "--container-command", "apptainer run qsm.sif"])
    )
    assert config.cluster.command == ("apptainer", "run", f"{tmp_path}/qsm.sif")
    assert build_parser().parse_args(["bids", "out", "group", "--atlas", "MNI152"]).atlas == "MNI152"


@pytest.mark.parametrize("scheduler", ["slurm", "pbs"])
def test_scripts_hold_any_folder_without_running_its_name(tmp_path, scheduler):
    folder = tmp_path / "R&D (1);touch${IFS}made'`x`\" $HOME"
    site = Site(scheduler, None, None, (), (), ("true",), 1000, None)
    stage = ArrayStage("participant", "x", DEFAULTS["participant"], elements=1, reads_list=True)
    write_scripts(folder, site, [("01", None)], [stage])
    for name in ("submit.sh", "participant.sh"):
        assert subprocess.run(["bash", "-n", folder / name], check=False).returncode == 0
    done = subprocess.run(
        ["bash", folder / "participant.sh"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert done.returncode == 0 and done.stderr == "", done.stderr
    assert {p.name for p in tmp_path.iterdir()} == {folder.name}
    for bad in ("line\nbreak", "per%cent"):
        with pytest.raises(UsageError, match="--write-jobs"):
            write_scripts(tmp_path / bad, site, [("01", None)], [stage])
    with pytest.raises(UsageError, match="has a space"):
        write_scripts(folder, site, [("0 1", None)], [stage])


@pytest.mark.parametrize(
    ("word", "expanded"),
    [
        ("$TMPDIR", "/fast disk"),
        ("${TMPDIR}/a b", "/fast disk/a b"),
        ("/x/$(touch made)`y`\"'", "/x/$(touch made)`y`\"'"),
    ],
)
def test_variables_of_scratch_are_expanded_where_the_job_runs_and_nothing_else(tmp_path, word, expanded):
    from bids_app.cli.submission import _with_variables

    line = f"printf %s {_with_variables(word)}"
    environment = {"TMPDIR": "/fast disk", "PATH": os.environ["PATH"]}
    done = subprocess.run(
        ["bash", "-uc", line], capture_output=True, text=True, cwd=tmp_path, env=environment, check=True
    )
    assert done.stdout == expanded and not list(tmp_path.iterdir())


def test_names_of_pbs_jobs_tell_them_apart():
    names = [f"qsm-group-average-{kind}-{n}" for kind in ("linear", "syn") for n in (1, 2, 3)]
    short = list(map(_short, names))
    assert len(set(short)) == 6 and all(len(name) <= 15 for name in short)


def test_temporary_files_where_the_system_has_no_folder_for_them(tmp_path, monkeypatch):
    import tempfile

    from bids_app.cli.temporary import ensure_temporary_folder

    monkeypatch.setenv("TMPDIR", "")
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "gettempdir", lambda: (_ for _ in ()).throw(FileNotFoundError))
    ensure_temporary_folder(tmp_path / "work")
    assert os.environ["TMPDIR"] == str(tmp_path / "work" / "tmp") and (tmp_path / "work" / "tmp").is_dir()
    (tmp_path / "file").touch()
    with pytest.raises(InputRefusedError, match=r"cannot be written \(Not a directory\), and the system has no folder"):
        ensure_temporary_folder(tmp_path / "file" / "work")


def test_a_run_that_mem_cannot_hold_is_refused_before_anything_runs(tmp_path, capsys):
    import nibabel
    import numpy as np

    anat = tmp_path / "bids" / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (tmp_path / "bids" / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    image = np.random.default_rng(0).integers(-4096, 4096, (64, 64, 64)).astype(np.int16)
    nibabel.Nifti1Image(image, np.diag([3.0, 3.0, 3.0, 1.0]) + np.eye(4, k=3)).to_filename(
        anat / "sub-01_part-phase_T2starw.nii.gz"
    )
    (anat / "sub-01_part-phase_T2starw.json").write_text('{"EchoTime": 0.02, "MagneticFieldStrength": 3}')
    words = [str(tmp_path / "bids"), str(tmp_path / "out"), "participant", "--segmentation", "none"]
    assert main([*words, "--mem", "0.2GB", "--skip-bids-validation"]) == 3
    said = capsys.readouterr().err
    assert "sub-01: step" in said and "--mem allows 0.2 GB: raise --mem" in said
    assert not (tmp_path / "out").exists()
    assert main([*words, "--mem", "2GB", "--dry-run"]) == 0
