"""The job scripts of the live engine, as dask-jobqueue makes them for each scheduler."""

import importlib.util
import shlex
import signal
import subprocess
import sys
from types import SimpleNamespace

import pytest

from bids_app.engine import schedulers
from bids_app.engine.dask import ClusterEngine
from bids_app.errors import UsageError

pytestmark = pytest.mark.skipif(importlib.util.find_spec("dask_jobqueue") is None, reason="needs dask-jobqueue")
JOBS = [SimpleNamespace(memory=3_000_000_000)]  # one of 3 GB: workers of 5 GB


@pytest.fixture(autouse=True)
def programs(monkeypatch):
    monkeypatch.setattr(schedulers.shutil, "which", lambda name: f"/usr/bin/{name}")


def script(name, tmp_path, config="", **more):
    """Return a worker's job script and its lines."""
    file = None
    if config:
        file = tmp_path / "cluster.toml"
        file.write_text(config)
    engine = ClusterEngine(
        name,
        config_file=file,
        account="lab",
        threads=4,
        modules=("apptainer", "cuda"),
        log_dir=tmp_path / "logs",
        **more,
    )
    kind, keywords, limits = engine.configuration(JOBS * 50)
    keywords.pop("scheduler_options")
    text = kind.job_cls(scheduler="tcp://head:1234", name="w", **keywords).job_script()
    return text, text.splitlines(), limits


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        (
            "slurm",
            [
                "#SBATCH -A lab",
                "#SBATCH -p long",
                "#SBATCH --cpus-per-task=4",
                "#SBATCH --mem=5G",
                "#SBATCH -t 04:00:00",
                "#SBATCH --qos=high",
            ],
        ),
        (
            "pbs",
            [
                "#PBS -A lab",
                "#PBS -q long",
                "#PBS -l select=1:ncpus=4:mem=4769MB",
                "#PBS -l walltime=04:00:00",
                "#PBS --qos=high",
            ],
        ),
        (
            "sge",
            ["#$ -P lab", "#$ -q long", "#$ -pe smp 4", "#$ -l mem_free=2G", "#$ -l h_rt=04:00:00", "#$ --qos=high"],
        ),
        (
            "lsf",
            [
                '#BSUB -P "lab"',
                "#BSUB -q long",
                "#BSUB -n 4",
                '#BSUB -R "span[hosts=1]"',
                "#BSUB -M 5000000",
                "#BSUB -W 04:00",
                "#BSUB --qos=high",
            ],
        ),
    ],
)
def test_resources_account_queue_and_modules(name, wanted, tmp_path):
    text, lines, limits = script(name, tmp_path, queue="long", options=("--qos=high",))
    assert [line for line in wanted if line not in lines] == [], text
    assert lines.index("module load apptainer") < lines.index("module load cuda") < len(lines) - 1
    assert limits == {"minimum_jobs": 1, "maximum_jobs": 50}
    worker = shlex.split(lines[-1])
    assert worker[:3] == [sys.executable, "-m", "distributed.cli.dask_worker"]
    assert "tcp://head:1234" in worker
    # The last one counts: one job at a time on all processors; and it leaves before the scheduler ends it.
    assert worker[len(worker) - 1 - worker[::-1].index("--nthreads") + 1] == "1"
    assert worker[worker.index("--lifetime") + 1] == "237m"
    assert "--no-nanny" in worker
    assert str(tmp_path / "logs") in text


def test_htcondor(tmp_path):
    text, lines, _ = script("htcondor", tmp_path, options=("+MaxRuntime=14400",))
    for line in ("MY.DaskWorkerCores = 4", "MY.DaskWorkerMemory = 5000000000", "accounting_group = lab"):
        assert line in lines, text
    assert "+MaxRuntime = 14400" in lines
    assert "module load apptainer; module load cuda; " in text
    with pytest.raises(UsageError, match="no queues"):
        script("htcondor", tmp_path, queue="long")
    with pytest.raises(UsageError, match="KEY=VALUE"):
        script("htcondor", tmp_path, options=("--qos",))


@pytest.mark.parametrize(
    ("command", "python"),
    [
        ("apptainer run -B /data /images/qsm.sif", "apptainer exec -B /data /images/qsm.sif python"),
        ("/opt/bin/singularity run qsm.sif", "/opt/bin/singularity exec qsm.sif python"),
        ("podman run --rm qsm", "podman run --entrypoint python --rm qsm"),
    ],
)
def test_workers_run_in_the_container(command, python, tmp_path):
    _, lines, _ = script("slurm", tmp_path, command=tuple(command.split()))
    assert lines[-1].startswith(f"{python} -m distributed.cli.dask_worker ")


def test_an_unknown_container_is_told_and_can_be_named_in_the_file(tmp_path):
    with pytest.raises(UsageError, match="apptainer run IMAGE"):
        script("slurm", tmp_path, command=("shifter", "--image=qsm"))
    config = 'python = "shifter --image=qsm python"'
    _, lines, _ = script("slurm", tmp_path, config, command=("shifter", "--image=qsm"))
    assert lines[-1].startswith("shifter --image=qsm python -m ")


def test_the_file_wins(tmp_path):
    config = 'minutes = 90\nmaximum_jobs = 7\nminimum_jobs = 3\nmemory = "24GB"\njob_extra_directives = ["--exclusive"]'
    text, lines, limits = script("slurm", tmp_path, config, options=("--qos=high",))
    assert limits == {"minimum_jobs": 3, "maximum_jobs": 7}
    for line in ("#SBATCH --mem=23G", "#SBATCH -t 01:30:00", "#SBATCH --exclusive"):
        assert line in lines, text
    assert "--lifetime 87m" in text
    assert "--qos=high" not in text
    text, lines, _ = script("slurm", tmp_path, 'worker_extra_args = ["--resources", "GPU=1"]')
    assert "--lifetime" not in text
    assert "--resources GPU=1 " in lines[-1]
    assert lines[-1].endswith(" --preload bids_app.engine.worker_watchdog"), "it frees its processors"
    text, _, _ = script("pbs", tmp_path, 'resource_spec = "select=1:ncpus=8:mem=20gb:ngpus=1"\nwalltime = "1:00:00"')
    assert "#PBS -l select=1:ncpus=8:mem=20gb:ngpus=1\n#PBS -l walltime=1:00:00\n" in text


@pytest.mark.parametrize(
    ("name", "config", "says"),
    [
        ("slurm", "walltme = 3", "unknown keyword 'walltme'.*walltime"),
        ("slurm", 'resource_spec = "x"', "unknown keyword 'resource_spec'"),  # known to PBS and Grid Engine
        ("pbs", "minutes = 0", "minutes must be a whole number"),
        ("pbs", 'maximum_jobs = "many"', "maximum_jobs must be a whole number"),
        ("pbs", "walltime = ", "is not valid TOML"),
    ],
)
def test_mistakes_in_the_file_are_one_sentence(name, config, says, tmp_path):
    with pytest.raises(UsageError, match=says) as caught:
        script(name, tmp_path, config)
    assert caught.value.exit_code == 2
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_told(tmp_path):
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read"):
        ClusterEngine("slurm", config_file=tmp_path / "nowhere.toml").configuration(JOBS)


def test_control_c_stays_ours():
    code = (
        "import signal; from bids_app.engine import schedulers; before = signal.getsignal(signal.SIGINT);"
        "schedulers.shutil.which = str; schedulers.find('slurm'); assert signal.getsignal(signal.SIGINT) is before"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@pytest.mark.parametrize(
    ("name", "code", "out", "err", "queued"),
    [
        ("slurm", 0, "PENDING\n", "", True),
        ("slurm", 0, "", "", False),  # it has ended a moment ago
        ("slurm", 1, "", "slurm_load_jobs error: Invalid job id specified", False),
        ("slurm", 1, "", "slurm_load_jobs error: Unable to contact slurm controller", True),
        ("pbs", 35, "", "qstat: 12.pbs Job has finished, use -x or -H to obtain historical job information", False),
        ("pbs", 153, "", "qstat: Unknown Job Id 12.pbs", False),
        ("sge", 1, "", "Following jobs do not exist:", False),
        ("lsf", 0, "EXIT\n", "", False),
        ("lsf", 255, "", "Job <12> is not found", False),
        ("lsf", 0, "RUN\n", "", True),
        ("htcondor", 0, "", "", False),
        ("htcondor", 0, "1\n", "", True),
    ],
)
def test_whether_a_job_is_still_queued(monkeypatch, name, code, out, err, queued):
    asked = []

    def run(words, **more):
        asked.append(words)
        return subprocess.CompletedProcess(words, code, out, err)

    monkeypatch.setattr(schedulers.subprocess, "run", run)
    assert schedulers.is_queued(name, "12") is queued
    assert asked[0][-1] == "12"
