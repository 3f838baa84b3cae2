"""Scripts and the live engine on the stand-in for OpenPBS (``tests/helpers/pbs.py``); no real server was at hand."""

import importlib.util
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nibabel
import numpy as np
import pytest

from bids_app.cli.command import main
from bids_app.engine import dask as cluster
from bids_app.engine.dask import ClusterEngine
from bids_app.engine.job import StepsJob
from bids_app.engine.runner import Policy
from bids_app.model.context import Context
from bids_app.model.records import Echo, GreRun
from tests.helpers import pbs
from tests.unit.engine import fake_steps
from tests.unit.engine.conftest import Section

ROOT = Path(__file__).parents[2]
FAST = ("--preset", "fast", "--segmentation", "none")


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{pbs.install(tmp_path / 'pbs')}{os.pathsep}{os.environ['PATH']}")
    yield tmp_path / "pbs"
    for job in pbs.jobs(tmp_path / "pbs"):
        subprocess.run(["qdel", job["id"]], capture_output=True, check=False)


def qsub(*words, script="true\n", code=0):
    done = subprocess.run(["qsub", *words], input=script, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout.strip() or done.stderr


def wait_for(condition, seconds=400):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def write_app(path, seen):
    """Write a program that keeps its words, one a line."""
    path.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$@\" > {seen}\necho the app ran\n")
    path.chmod(0o755)
    return path


def all_ended(server):
    return all(job["state"] == pbs.FINISHED for job in pbs.jobs(server))


# The stand-in itself -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        "-l select=1:cpus=2",
        "-l select=1:ncpus=0",
        "-l select=1:mem=4Gi",
        "-l walltime=2h",
        "-l mem=4gb",
        "-J 1-1",
        "-J 3",
        "-J 2-1",
        "-N my/job",
        "-N " + "n" * 237,
        "-j oee",
        "-W depend=afterany:99",
        "-W depend=afterall:1",
        "-W block",
        "--job-name=x",
        "-Z x",
        "-o /no/such/folder/",
        "-l select=1:ncpus=2 -l select=1:ncpus=3",
    ],
)
def test_the_stand_in_refuses_what_the_guide_does_not_have(server, line):
    assert "qsub: " in qsub(script=f"#!/bin/bash\n#PBS {line}\ntrue\n", code=1)
    assert pbs.jobs(server) == []


def test_directives_end_at_the_first_command_and_the_environment_is_fresh(server, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_OF_THE_SHELL", "1")
    name = qsub(script=f"#!/bin/bash\n# a remark\n#PBS -N first\n\nenv > {tmp_path}/env\n#PBS -Z wrong\n")
    wait_for(lambda: all_ended(server), 60)
    text = (tmp_path / "env").read_text()
    assert "SECRET_OF_THE_SHELL" not in text
    assert f"PBS_JOBID={name}\n" in text
    assert "PBS_ARRAY_INDEX" not in text


def test_dependencies_and_wall_time_are_kept(server, tmp_path):
    array = qsub("-J", "1-3", script=f'echo "$PBS_ARRAY_INDEX" >> {tmp_path}/seen\n[ "$PBS_ARRAY_INDEX" != 2 ]\n')
    assert array == "1[].pbs"
    single = qsub(script="exit 3\n")
    late = qsub("-l", "walltime=00:00:01", script=f"sleep 60\ntouch {tmp_path}/too-late\n")
    after = {
        kind: qsub("-W", f"depend={kind}", script=f"wc -l < {tmp_path}/seen > {tmp_path}/{number}\n")
        for number, kind in enumerate(
            [
                f"afterany:{array}:{single}",
                f"afterok:{array}",
                f"afterok:{single}",
                f"afternotok:{single}",
                f"afterany:{late}",
            ]
        )
    }
    assert len(after) == 5
    wait_for(lambda: all_ended(server), 60)
    assert sorted((tmp_path / "seen").read_text().split()) == ["1", "2", "3"]
    # OpenPBS lets afterok pass although an element failed; a single job that failed holds it back.
    assert [(tmp_path / str(n)).exists() for n in range(5)] == [True, True, False, True, True]
    assert (tmp_path / "0").read_text().strip() == "3"
    assert pbs.load(server, 1)["elements"] == {"1": 0, "2": 1, "3": 0}
    assert not (tmp_path / "too-late").exists()


# The scripts that are written --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_array_with_a_failing_participant_then_mended_and_the_group(study, server, tmp_path, capfd):
    phase = study / "sub-02" / "anat" / "sub-02_echo-2_part-phase_MEGRE.nii.gz"
    good = phase.read_bytes()
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.diag([2.0, 2.0, 2.0, 1.0])), phase)
    out, jobs = tmp_path / "out", tmp_path / "jobs"
    app = tmp_path / "app"  # as a container would: it brings its own environment
    app.write_text(f'#!/bin/bash\nexport PYTHONPATH={ROOT}\nexec {sys.executable} -m bids_app "$@"\n')
    app.chmod(0o755)
    words = [str(study), str(out), "participant", "group", *FAST, "--template", "none", "--omp-nthreads", "1"]
    words += ["--write-jobs", "pbs", str(jobs), "--account", "lab", "--queue", "long", "--array-at-once", "2"]
    assert main([*words, "--container-command", str(app)]) == 0
    tables = jobs / "group-tables.sh"
    assert "--stage tables --stage-patience 60" in tables.read_text()
    for script in (tables, jobs / "group-report.sh"):
        script.write_text(script.read_text().replace("--stage-patience 60", "--stage-patience 1"))
    sent = subprocess.run(["bash", jobs / "submit.sh"], capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr
    assert "participant: 1[].pbs\ngroup-tables: 2.pbs\n" in sent.stdout
    assert 'qstat -t -u "$USER"' in sent.stdout
    wait_for(lambda: all_ended(server))
    array, group, report = pbs.jobs(server)
    assert array["elements"] == {"1": 0, "2": 3}
    assert array["exit"] == 0
    assert group["exit"] == 3, "the group's own check must tell, because PBS does not"
    said = {path.name: path.read_text() for path in (jobs / "logs").iterdir()}
    assert "sub-02_echo-2_part-phase" in said["1[2].pbs.OU"]
    assert "sub-02: missing" in said["2.pbs.OU"]
    assert report["exit"] == 0 and "sub-02: missing" in (out / "group.html").read_text(), "the page gives the reason"
    assert not (out / "group_cohort.tsv").exists()
    phase.write_bytes(good)
    first = (out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").stat().st_mtime_ns
    assert subprocess.run(["bash", jobs / "submit.sh"], capture_output=True, check=False).returncode == 0
    wait_for(lambda: all_ended(server))
    assert [job["exit"] for job in pbs.jobs(server)[3:]] == [0, 0, 0]
    assert (out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").stat().st_mtime_ns == first
    assert "sub-02" in (out / "group_cohort.tsv").read_text()


def test_folders_with_spaces_and_quotes_reach_the_jobs_as_they_are(server, tmp_path, monkeypatch, capsys):
    odd = tmp_path / "my lab (R&D) 'a' \"b\" $HOME"
    study, out, jobs = odd / "bids", odd / "out", odd / "jobs"
    (study / "sub-01" / "anat").mkdir(parents=True)
    (study / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    app = write_app(odd / "my app", tmp_path / "seen")
    words = [str(study), str(out), "participant", "--write-jobs", "pbs", str(jobs), *FAST]
    assert main([*words, "--container-command", shlex.quote(str(app)), "--atlas", str(odd)]) == 0
    monkeypatch.chdir(tmp_path)
    sent = subprocess.run(["bash", jobs / "submit.sh"], capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr
    wait_for(lambda: all_ended(server), 60)
    seen = (tmp_path / "seen").read_text().splitlines()
    assert seen[:3] == [str(study), str(out), "participant"]
    assert str(odd) in seen and seen[-2:] == ["--participant-label", "01"]
    assert [path.read_text() for path in (jobs / "logs").iterdir()] == ["the app ran\n"]


# The live engine ---------------------------------------------------------------------------------------------------


def job_of(tmp_path, label, deeds, **more):
    settings = SimpleNamespace(mask=Section(deed=deeds, **more))
    echo = Echo(1, 0.01, phase=tmp_path / "none.nii.gz")
    run = GreRun(label, None, (("sub", label),), "MEGRE", "anat", (echo,), 3.0)
    context = Context(tmp_path / "bids", tmp_path / "out", tmp_path / "work", 1)
    return StepsJob(
        name=run.basename, subject=label, settings=settings, context=context, record=run, steps=fake_steps.steps
    )


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("dask_jobqueue") is None, reason="needs dask-jobqueue")
def test_workers_are_replaced_that_never_came_or_reached_their_wall_time(server, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "_LOOK_S", 1.0)  # how soon a worker is missed that never came
    starts, config, came = tmp_path / "starts", tmp_path / "cluster.toml", tmp_path / "came"
    bad_node = f"[ -e {came} ] || {{ touch {came}; exit 1; }}"  # the first worker ends before it has said a word
    config.write_text(
        f'walltime = "00:00:25"\nmaximum_jobs = 1\njob_script_prologue = ["export PYTHONPATH={ROOT}", "{bad_node}"]\n'
        'worker_extra_args = ["--nthreads", "1"]\n'
    )
    jobs = [job_of(tmp_path, "01", {}), job_of(tmp_path, "02", {"sub-02": "hang once"}, log=str(starts))]
    said, events = [], []
    engine = ClusterEngine("pbs", config_file=config, log_dir=tmp_path / "logs", say=said.append)
    results = engine(jobs, Policy(), events.append)
    assert [result.status for result in results.values()] == ["done", "done"], results
    assert starts.read_text().count("in\n") == 2
    assert [event.job for event in events if event.kind == "job-finished"] == ["sub-01", "sub-02"]
    workers = pbs.jobs(server)
    assert len(workers) >= 3
    assert workers[0]["elements"] == {"None": 1}
    assert "dashboard http" in said[0]
