"""Array scripts and the live engine on a real Slurm of one node, and what can be tested without one."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import nibabel
import numpy as np
import psutil
import pytest

from bids_app.cli.command import main
from bids_app.engine.resources import Resources, measured
from bids_app.model.step_record import StepRecord
from tests.helpers.group_study import write_table_study
from tests.helpers.leftovers import leave_part
from tests.helpers.slurm import ask, drain, missing, running_slurm, wait_for
from tests.integration.conftest import write_study

ROOT = Path(__file__).parents[2]
FAST = ("--preset", "fast", "--omp-nthreads", "1")
COARSE = {"resolution": 4, "registration_resolution": 4, "syn_coarse": 5, "syn_middle": 0, "syn_fine": 0}
slurm_test = pytest.mark.slurm


def command(*words):
    return [sys.executable, "-m", "bids_app", *map(str, words)]


def environment(**more):
    return {**os.environ, "PYTHONPATH": str(ROOT), **more}


def run(*words, env=None, **options):
    return subprocess.run(
        command(*words), env=env or environment(), cwd="/", capture_output=True, text=True, check=False, **options
    )


def maps(folder):
    return {
        path.relative_to(folder): nibabel.load(path).get_fdata().tobytes()
        for path in sorted([*folder.glob("sub-*/**/*.nii.gz"), *folder.glob("tpl-*/**/*.nii.gz")])
        if "work" not in path.parts
    }


def damage(study, label):
    """Make a participant's second phase noise of another size: the preflight of its element refuses it."""
    path = study / f"sub-{label}" / "anat" / f"sub-{label}_echo-2_part-phase_MEGRE.nii.gz"
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.diag([2.0, 2.0, 2.0, 1.0])), path)


def workers_of(env):
    """Return the Dask workers of a Slurm, also those that it has lost sight of."""
    workers = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):  # it may end meanwhile
            if "distributed.cli.dask_worker" in process.cmdline():
                workers += [process] if process.environ().get("SLURM_CONF") == env["SLURM_CONF"] else []
    return workers


@pytest.fixture
def slurm(tmp_path):
    reason = missing()
    if reason:
        pytest.skip(reason)
    with running_slurm(tmp_path / "slurm") as env:
        yield env | environment(SLURM_CONF=env["SLURM_CONF"], PATH=env["PATH"], TMPDIR="/tmp")


@pytest.fixture(scope="module")
def maps_of_one_machine(tmp_path_factory):
    """Return the maps of the study as this machine makes them without a scheduler."""
    root = tmp_path_factory.mktemp("one-machine")
    done = run(write_study(root / "bids"), root / "out", "participant", *FAST)
    assert done.returncode == 0, done.stderr
    return maps(root / "out")


# Without a scheduler ------------------------------------------------------------------------------------------------


def test_scripts_name_every_participant_and_session(study, tmp_path):
    for session in ("a", "b"):
        (study / "sub-02" / f"ses-{session}").mkdir()
    done = run(
        study,
        tmp_path / "out",
        "participant",
        "--write-jobs",
        "slurm",
        tmp_path / "jobs",
        *FAST,
        "--account",
        "lab",
        "--partition",
        "long",
        "--job-option=--qos=high",
        "--module",
        "apptainer",
        "--container-command",
        "apptainer run /images/qsm.sif",
        "--set",
        "mask.two_pass=false",
        "--scratch",
        "$SCRATCH",
        "--array-at-once",
        "7",
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "jobs" / "participants.tsv").read_text() == "01\t\n02\ta\n02\tb\n"
    script = (tmp_path / "jobs" / "participant.sh").read_text()
    for line in ("--array=1-3%7", "--account=lab", "--partition=long", "--qos=high", "--cpus-per-task=1"):
        assert f"#SBATCH {line}\n" in script
    assert "module load apptainer\n" in script
    assert f"exec apptainer run /images/qsm.sif {study} {tmp_path / 'out'} participant " in script
    assert '--preset fast --set mask.two_pass=false --scratch "$SCRATCH"' in script
    assert not (tmp_path / "out").exists()


def element(script, index, tmp_path, variable="SLURM_ARRAY_TASK_ID"):
    """Run one element with a stand-in for the command that prints its words."""
    probe = tmp_path / "probe"
    probe.write_text('#!/bin/bash\nprintf "%s|" "$@"\n')
    probe.chmod(0o755)
    changed = script.with_name("changed.sh")
    changed.write_text(script.read_text().replace("/STANDIN", str(probe)))
    env = environment(**({variable: str(index)} if index else {}))
    done = subprocess.run(["bash", changed], env=env, capture_output=True, text=True, check=True)
    return done.stdout.split("|")[:-1]


@pytest.mark.parametrize(("scheduler", "variable"), [("slurm", "SLURM_ARRAY_TASK_ID"), ("pbs", "PBS_ARRAY_INDEX")])
def test_chunks_cover_every_element_once(study, tmp_path, scheduler, variable):
    for number in range(3, 8):
        (study / f"sub-0{number}").mkdir()
    (study / "sub-05" / "ses-x").mkdir()
    jobs = tmp_path / "jobs"
    left = leave_part(jobs)
    done = run(
        study,
        tmp_path / "out",
        "participant",
        "--write-jobs",
        scheduler,
        jobs,
        "--array-limit",
        "3",
        "--container-command",
        "/STANDIN",
    )
    assert done.returncode == 0, done.stderr
    assert not left.exists()
    scripts = sorted(jobs.glob("participant-*.sh"))
    assert len(scripts) == 3
    seen = []
    for script, count in zip(scripts, (3, 3, 1), strict=True):
        text = script.read_text()
        if scheduler == "slurm":
            assert f"#SBATCH --array=1-{count}\n" in text
        else:  # PBS knows no array of one
            assert (f"#PBS -J 1-{count}\n" in text) == (count > 1)
        for index in range(1, count + 1):
            words = element(script, index if count > 1 or scheduler == "slurm" else None, tmp_path, variable)
            label = words[words.index("--participant-label") + 1]
            seen.append((label, words[words.index("--session-label") + 1] if "--session-label" in words else None))
    assert seen == [(f"0{n}", "x" if n == 5 else None) for n in range(1, 8)]
    submit = (jobs / "submit.sh").read_text()
    assert subprocess.run(["bash", "-n", jobs / "submit.sh"], check=False).returncode == 0
    assert all(str(script) in submit for script in scripts)


def test_resources_come_from_earlier_runs(study, tmp_path):
    out = tmp_path / "out"
    folder = out / "logs" / "records" / "sub-01"
    folder.mkdir(parents=True)
    for step, seconds, peak in (("field", 100, 2.0e9), ("inversion", 300, 3.1e9)):
        record = {
            "step": step,
            "basename": "sub-01",
            "duration_s": seconds,
            "peak_memory_bytes": int(peak),
            "threads": 2,
        }
        (folder / f"sub-01_step-{step}.json").write_text(json.dumps(record))
    (folder / "sub-01_step-damaged.json").write_text("{")
    run(study, out, "participant", "--write-jobs", "pbs", tmp_path / "jobs", "--omp-nthreads", "2")
    text = (tmp_path / "jobs" / "participant.sh").read_text()
    # 1.5 times the peak of 3.1 GB, and the command beside its process of steps.
    assert "#PBS -l select=1:ncpus=2:mem=6gb\n" in text
    assert "#PBS -l walltime=00:20:00\n" in text
    assert "measured over 1 earlier runs" in text


@pytest.mark.parametrize("scheduler", ["slurm", "pbs"])
def test_every_round_of_the_template_is_an_array_after_the_one_before(study, tmp_path, scheduler):
    jobs = tmp_path / "jobs"
    done = run(
        study,
        tmp_path / "out",
        "participant",
        "group",
        "--write-jobs",
        scheduler,
        jobs,
        "--template-iterations",
        "1",
        "1",
        "--container-command",
        "/STANDIN",
        "--allow-missing",
    )
    assert done.returncode == 0, done.stderr
    submit = (jobs / "submit.sh").read_text()
    order = re.findall(r"/([a-z0-9-]+)\.sh", submit)
    assert order == [
        "participant",
        *[
            f"group-{stage}"
            for stage in (
                "tables",
                "subjects",
                "average-0",
                "register-1",
                "average-1",
                "register-2",
                "average-2",
                "register-template",
                "maps",
                "average-maps",
                "report",
            )
        ],
    ]
    variable = "SLURM_ARRAY_TASK_ID" if scheduler == "slurm" else "PBS_ARRAY_INDEX"
    for name in order[1:]:
        script = jobs / f"{name}.sh"
        # Beside the first iteration everybody is registered once more, for the single affine pass and its average.
        single = name in ("group-register-1", "group-average-1")
        many = single or name.removeprefix("group-").startswith(("subjects", "register", "maps"))
        count = 4 if name == "group-register-1" else 2
        array = f"#SBATCH --array=1-{count}\n" if scheduler == "slurm" else f"#PBS -J 1-{count}\n"
        assert (array in script.read_text()) == many
        parts = []
        for index in range(1, count + 1) if many else (None,):
            words = element(script, index, tmp_path, variable)
            assert words[words.index("--stage") + 1] == name.removeprefix("group-")
            assert "--allow-missing" in words
            parts += words[words.index("--stage-part") + 1 :][:1] if many else []
        assert parts == ([f"{index}/{count}" for index in range(1, count + 1)] if many else [])


def test_a_later_stage_goes_on_with_what_the_tables_have_found_and_only_with_that(tmp_path, capfd):
    bids, out = write_table_study(tmp_path, count=4)
    words = [str(bids), str(out), "group", "--template-iterations", "1", "1", "--omp-nthreads", "1", "--dry-run"]
    assert main([*words, "--stage", "subjects"]) == 3
    assert "--stage tables before this" in capfd.readouterr().err
    assert main([*words[:-1], "--stage", "tables"]) == 0
    capfd.readouterr()
    assert main([*words, "--stage", "subjects", "--stage-part", "2/3"]) == 0
    lines = [line for line in capfd.readouterr().out.splitlines() if "(stage subjects)" in line]
    assert [line.split()[0] for line in lines] == ["sub-02_subject"]
    (out / "sub-03/anat/sub-03_Chimap.nii.gz").unlink()
    assert main([*words[:-1], "--stage", "tables"]) == 3
    assert main([*words, "--stage", "subjects"]) == 3, "the check of before must not count"


def test_the_last_job_writes_the_page_also_where_the_group_was_refused(tmp_path, capfd):
    bids, out = write_table_study(tmp_path, count=4)
    words = [str(bids), str(out), "group", "--template", "none", "--stage"]
    (out / "sub-03/anat/sub-03_Chimap.nii.gz").unlink()
    assert main([*words, "tables"]) == 3
    assert main([*words, "report"]) == 0
    page = (out / "group.html").read_text()
    assert "sub-03: failed" in page and "1 of 4 are not complete" in page
    assert main([*words, "tables", "--allow-missing"]) == 0
    assert main([*words, "report", "--allow-missing"]) == 0
    page = (out / "group.html").read_text()
    assert "4 runs: 3 found, 1 failed" in page and "are not complete" not in page


def test_the_last_job_writes_a_page_where_nobody_has_a_map(tmp_path):
    bids, out = write_table_study(tmp_path, count=1)
    shutil.rmtree(out)
    words = [str(bids), str(out), "group", "--stage"]
    assert main([*words, "tables"]) == 3
    assert main([*words, "report"]) == 0
    assert "holds no susceptibility map" in (out / "group.html").read_text()


def test_a_damaged_first_participant_does_not_stop_the_others_scripts(study, tmp_path):
    for path in (study / "sub-01" / "anat").glob("*.nii.gz"):
        path.write_bytes(b"")
    done = run(study, tmp_path / "out", "participant", "--write-jobs", "slurm", tmp_path / "jobs")
    assert done.returncode == 0, done.stderr
    assert "nothing measured yet" in (tmp_path / "jobs" / "participant.sh").read_text()


def test_resources_are_no_less_than_the_estimate(tmp_path):
    records = [
        StepRecord("chi", "sub-1_ses-a_run-1", duration_s=1000, peak_memory_bytes=10**9),
        StepRecord("chi", "sub-1_ses-a_run-2", duration_s=2000, peak_memory_bytes=10**9),
        StepRecord("template_subject", "sub-1_subject", duration_s=9e9, peak_memory_bytes=9 * 10**10),
    ]
    default = Resources(1, 8, 120, "default")
    asked = measured(records, {"chi"}, default, estimate=0)
    assert (asked.memory_gb, asked.minutes) == (2, 150)  # both runs are one element's; steps of others do not count
    assert measured(records, {"chi"}, default, estimate=4_000_000_000).memory_gb == 5
    assert measured([], {"chi"}, default, estimate=20_000_000_000).memory_gb == 23
    assert measured([], {"chi"}, default).memory_gb == 8


@pytest.mark.parametrize(
    ("words", "code", "text"),
    [
        (("--write-jobs", "slrum", "jobs"), 2, "slurm"),
        (("--write-jobs", "slurm", "a%b"), 2, "without %"),
        (("--write-jobs", "slurm", "jobs", "--participant-label", "99"), 3, "'99' is not in"),
        (("--cluster-config", "x.toml"), 2, "needs --cluster"),
        (("--cluster", "slurm", "--write-jobs", "slurm", "jobs"), 2, "one of them"),
        (("--cluster", "lsf"), 4, "bsub is not on this machine"),
        (("--scratch", "$NO_SUCH_VARIABLE"), 2, "not set"),
        (("--scratch", "/tmp", "--work-dir", "/tmp"), 2, "one of them"),
    ],
)
def test_mistakes_are_told_in_one_sentence(study, tmp_path, words, code, text):
    words = [str(tmp_path / word) if word in ("jobs", "a%b") else word for word in words]
    done = run(study, tmp_path / "out", "participant", *words)
    assert done.returncode == code, done.stderr
    assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_working_files_on_scratch_are_gone_afterwards(study, tmp_path):
    (tmp_path / "fast").mkdir()
    done = run(
        study, tmp_path / "out", "participant", *FAST, "--participant-label", "01", "--scratch", tmp_path / "fast"
    )
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "fast").iterdir())
    assert not (tmp_path / "out" / "work").exists()
    again = run(
        study, tmp_path / "out", "participant", *FAST, "--participant-label", "01", "--scratch", tmp_path / "fast"
    )
    assert "unchanged" in again.stdout, "what is complete must not run again because scratch files are gone"


def test_files_of_the_dataset_are_written_by_the_first_element_alone(tmp_path):
    bids, out = write_table_study(tmp_path, count=3)
    states = []
    for label in ("01", "02"):
        words = ["--template", "none", "--participant-label", label, "--omp-nthreads", "1"]
        assert main([str(bids), str(out), "group", *words]) == 0
        common = ("dataset_description.json", ".bidsignore", "README.md")
        states.append([((out / name).stat().st_ino, (out / name).stat().st_mtime_ns) for name in common])
    assert states[0] == states[1]


# On a real Slurm ----------------------------------------------------------------------------------------------------


@slurm_test
@pytest.mark.slow
def test_array_with_a_failing_participant_then_mended_and_sent_again(study, tmp_path, slurm, maps_of_one_machine):
    good = (study / "sub-02" / "anat" / "sub-02_echo-2_part-phase_MEGRE.nii.gz").read_bytes()
    damage(study, "02")
    out, jobs = tmp_path / "out", tmp_path / "jobs"
    written = run(study, out, "participant", "--write-jobs", "slurm", jobs, *FAST)
    assert written.returncode == 0, written.stderr
    subprocess.run(["bash", jobs / "submit.sh"], env=slurm, check=True, capture_output=True)
    drain(slurm)
    assert (out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").exists()
    assert not list(out.glob("sub-02/**/*_Chimap.nii.gz"))
    assert any("sub-02_echo-2_part-phase" in path.read_text() for path in (jobs / "logs").iterdir())
    (study / "sub-02" / "anat" / "sub-02_echo-2_part-phase_MEGRE.nii.gz").write_bytes(good)
    before = (out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").stat().st_mtime_ns
    subprocess.run(["bash", jobs / "submit.sh"], env=slurm, check=True, capture_output=True)
    drain(slurm)
    assert (out / "sub-01" / "anat" / "sub-01_Chimap.nii.gz").stat().st_mtime_ns == before
    assert maps(out) == maps_of_one_machine


@slurm_test
def test_folders_with_spaces_and_quotes_reach_the_jobs_as_they_are(tmp_path, slurm):
    odd = tmp_path / "my lab (R&D) 'a' \"b\" $HOME"
    study, out, jobs, seen = odd / "bids", odd / "out", odd / "jobs", tmp_path / "seen"
    (study / "sub-01" / "anat").mkdir(parents=True)
    (study / "dataset_description.json").write_text('{"Name": "x", "BIDSVersion": "1.10.0"}')
    app = odd / "my app"
    app.write_text(f"#!/bin/bash\nprintf '%s\\n' \"$@\" > {seen}\necho the app ran\n")
    app.chmod(0o755)
    command_words = ["--container-command", shlex.quote(str(app)), "--atlas", odd]
    written = run(study, out, "participant", "--write-jobs", "slurm", jobs, *FAST, *command_words)
    assert written.returncode == 0, written.stderr
    sent = subprocess.run(["bash", jobs / "submit.sh"], env=slurm, capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr
    drain(slurm, 60)
    words = seen.read_text().splitlines()
    assert words[:3] == [str(study), str(out), "participant"]
    assert str(odd) in words and words[-2:] == ["--participant-label", "01"]
    assert [path.read_text() for path in (jobs / "logs").iterdir()] == ["the app ran\n"]


@slurm_test
@pytest.mark.slow
def test_the_template_as_arrays_is_that_of_one_machine(study, tmp_path, slurm):
    words = [*FAST, "--segmentation", "none", "--skip-bids-validation", "--template-iterations", "1", "0"]
    for name, value in COARSE.items():
        words += ["--set", f"template.{name}={value}"]
    out, jobs = tmp_path / "out", tmp_path / "jobs"
    written = run(study, out, "participant", "group", "--write-jobs", "slurm", jobs, *words)
    assert written.returncode == 0, written.stderr
    sent = subprocess.run(["bash", jobs / "submit.sh"], env=slurm, capture_output=True, text=True, check=False)
    assert sent.returncode == 0, sent.stderr
    drain(slurm, 400)
    said = "".join(path.read_text() for path in (jobs / "logs").iterdir())
    assert (out / "tpl-study" / "anat" / "tpl-study_desc-mean_Chimap.nii.gz").is_file(), said[-3000:]
    local = tmp_path / "local"
    assert run(study, local, "participant", "group", *words).returncode == 0
    assert maps(out) == maps(local)


@slurm_test
@pytest.mark.slow
def test_live_engine_survives_a_killed_worker_and_a_killed_head(study, tmp_path, slurm, maps_of_one_machine):
    out, config = tmp_path / "out", tmp_path / "cluster.toml"
    config.write_text("death_timeout = 15\n")  # a worker that starts when its head is dead looks for it so long
    words = (study, out, "participant", "--cluster", "slurm", "--cluster-config", config, *FAST)
    head = subprocess.Popen(command(*words), env=slurm, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: list((out / "logs" / "records").rglob("*_step-field.json")), "a first step", 120)
    head.send_signal(signal.SIGKILL)
    head.wait()
    done_before = {p: p.stat().st_mtime_ns for p in (out / "logs" / "records").rglob("*_step-*.json")}
    assert done_before
    drain(slurm)  # workers whose head is gone leave by themselves
    head = subprocess.Popen(command(*words, "-v"), env=slurm, cwd="/", stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    wait_for(lambda: workers_of(slurm), "a worker", 60)
    time.sleep(1.5)
    ask(slurm, "scancel", "--signal=KILL", "--full", "--user=root")
    text, _ = head.communicate(timeout=240)
    assert head.returncode == 0, text.decode()
    wait_for(lambda: not workers_of(slurm), "the workers' processes to end", 30)
    for path, changed in done_before.items():
        assert path.stat().st_mtime_ns == changed, f"{path.name} was done before the head was killed and ran again"
    assert maps(out) == maps_of_one_machine
