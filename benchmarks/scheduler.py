"""Past one machine: ``python -m benchmarks.scheduler`` (parts: plan, jobs, slurm).

plan: finding and planning 10,000 simulated participants, from names and headers, and what one element of their array
pays for it. jobs: a no-op step of each through the real scheduler, beside a plain loop over the same processes in the
same run, in turns. slurm: a small study as the arrays that the app writes and as its live engine, each beside a plain
array of the same commands at the same time, a processor each, on a Slurm of one node started by hand. "idle" there is
all that is not a step: Python's start, the scheduler's own time.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from multiprocessing.connection import wait
from pathlib import Path

import nibabel
import numpy as np

from benchmarks.common import ROOT, circumstances, machine, parser
from benchmarks.tables import table, write_table
from bids_app.cli.config import from_arguments
from bids_app.cli.job_options import options_for_jobs
from bids_app.cli.options import build_parser
from bids_app.dataset.query import find_subjects
from bids_app.engine import server
from bids_app.engine.events import Event
from bids_app.engine.levels import participant_jobs
from bids_app.engine.runner import Policy, run_jobs
from bids_app.engine.worker import work
from bids_app.model.step import Output, Step, StepResult
from tests.helpers.slurm import ask, missing, running_slurm

PARTS = ("plan", "jobs", "slurm")
AT_ONCE = 2
#: The plain loop runs between the scheduler's jobs, so often, a share of them: what else the machine does hits both.
TURNS, SHARE = 10, 5
TIMES = (0.004, 0.010)
OPTIONS = ("--preset", "fast", "--segmentation", "none", "--nprocs", "1", "--omp-nthreads", "1")
OPTIONS += ("--skip-bids-validation",)
UNIT = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss


# A study and a step that cost nothing ---------------------------------------------------------------


def write_names(folder, count):
    """Write a dataset whose images are one tiny image under many names."""
    folder.mkdir(parents=True)
    (folder / "dataset_description.json").write_text(json.dumps({"Name": "names", "BIDSVersion": "1.10.0"}))
    (folder / "MEGRE.json").write_text(json.dumps({"MagneticFieldStrength": 3}))
    for echo, seconds in enumerate(TIMES, start=1):
        for part in ("mag", "phase"):  # inherited by all participants
            sidecar = folder / f"echo-{echo}_part-{part}_MEGRE.json"
            sidecar.write_text(json.dumps({"EchoTime": seconds, "Units": "arbitrary"}))
    image = folder / "one.nii.gz"
    nibabel.save(
        nibabel.Nifti1Image(np.arange(512, dtype=np.int16).reshape(8, 8, 8), np.diag([2.0, 2.0, 2.0, 1.0])), image
    )
    for number in range(1, count + 1):
        anat = folder / f"sub-{number:05d}" / "anat"
        anat.mkdir(parents=True)
        for echo in range(1, len(TIMES) + 1):
            for part in ("mag", "phase"):
                os.link(image, anat / f"sub-{number:05d}_echo-{echo}_part-{part}_MEGRE.nii.gz")
    image.unlink()
    return folder


def _nothing(step):
    return StepResult({"t1w_on_gre": Output(np.zeros((1, 1, 1), np.float32), affine=np.eye(4))})


STEPS = (Step("nothing", "Nothing", _nothing, makes=lambda record, settings: ("t1w_on_gre",), memory=lambda r, s: 0),)


def noop_steps():
    return STEPS


def config_of(study, out, *words):
    args = build_parser().parse_args([str(study), str(out), "participant", *OPTIONS, *words])
    return from_arguments(args, (), options_for_jobs(args))


def noop_jobs(study, out):
    """Return the jobs that the planner makes of a dataset, each with the step that does nothing."""
    config = config_of(study, out)
    jobs = participant_jobs(find_subjects(study), config.settings, config.context)
    return [replace(job, steps=noop_steps) for job in jobs]


# Planning ---------------------------------------------------------------


def plan_all(study, out):
    config = config_of(study, out)
    return len(participant_jobs(find_subjects(config.bids_dir), config.settings, config.context))


def find_one(study, out):
    return len(find_subjects(study, [max(path.name for path in study.glob("sub-*")).removeprefix("sub-")]))


def do(name, study, out):
    """Time one function in this process, imports apart, and print seconds, processor seconds and peak memory."""
    find_subjects(study, ["00001"])
    begin, begin_cpu = time.perf_counter(), time.process_time()
    globals()[name](study, out)
    seconds, begin_cpu = time.perf_counter() - begin, time.process_time() - begin_cpu
    print(json.dumps([seconds, begin_cpu, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT]))


def environment():
    return os.environ | {"PYTHONPATH": str(ROOT), "SLURM_CPU_BIND": "none"}


def in_process(name, study, out):
    words = [sys.executable, "-m", "benchmarks.scheduler", "--do", name, str(study), str(out)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env=environment())
    return json.loads(done.stdout.splitlines()[-1])


def from_prompt(*words):
    """Return seconds, processor seconds and peak memory of a command from the shell prompt."""
    code = (
        "import subprocess, sys, resource, time; begin = time.perf_counter();"
        "subprocess.run([sys.executable, '-m', 'bids_app', *sys.argv[1:]], check=True, stdout=subprocess.DEVNULL);"
        "seconds = time.perf_counter() - begin; used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        "print(seconds, used.ru_utime + used.ru_stime, used.ru_maxrss)"
    )
    words = [sys.executable, "-c", code, *map(str, words)]
    done = subprocess.run(words, capture_output=True, text=True, check=True, cwd=ROOT, env=environment())
    seconds, cpu, peak = done.stdout.split()
    return float(seconds), float(cpu), int(peak) * UNIT


def plan(folder, counts):
    """Return rows: what, participants, seconds, processor seconds, peak memory."""
    rows = []
    for count in counts:
        study, out = write_names(folder / f"names-{count}", count), folder / f"out-{count}"
        last = f"{count:05d}"
        element = (study, out, "participant", *OPTIONS, "--participant-label", last, "--dry-run")
        both = (study, out, "participant", "group", *OPTIONS[:4], "--write-jobs", "slurm", folder / f"jobs-{count}")
        measured = {
            "all found and their jobs made": in_process("plan_all", study, out),
            "`--write-jobs`, both levels, from the prompt": from_prompt(*both),
            "the last one found, as its element does": in_process("find_one", study, out),
            "its `--dry-run` from the prompt": from_prompt(*element),
        }
        rows += [
            (what, count, f"{s:.3g}", f"{cpu:.3g}", f"{peak / 1e9:.2f}") for what, (s, cpu, peak) in measured.items()
        ]
    return rows


# Jobs on one machine ---------------------------------------------------------------


class Loop:
    """What a loop over jobs took, as it sees them itself: in all, and with a job in a place."""

    def __init__(self):
        self.jobs, self.seconds, self.held, self.cpu, self._started = 0, 0.0, 0.0, 0.0, {}

    def __call__(self, event):
        if event.kind == "job-started":
            self._started[event.job] = time.perf_counter()
        elif event.kind == "job-finished":
            self.jobs += 1
            self.held += time.perf_counter() - self._started.pop(event.job)

    def run(self, loop, jobs):
        begin, begin_cpu = time.perf_counter(), time.process_time()
        loop(jobs, self)
        self.seconds += time.perf_counter() - begin
        self.cpu += time.process_time() - begin_cpu

    def without(self, other):
        """Take out what another loop took in the middle of this one."""
        self.seconds -= other.seconds
        self.cpu -= other.cpu
        return self

    def pause(self, seconds):
        self._started = {name: begin + seconds for name, begin in self._started.items()}

    def row(self, name, plain):
        each, idle = self.seconds / self.jobs, 1 - self.held / (AT_ONCE * self.seconds)
        beside = 100 * (each / (plain.seconds / plain.jobs) - 1)
        return (
            name,
            self.jobs,
            f"{self.jobs / self.seconds:.1f}",
            f"{beside:+.1f} %",
            f"{100 * idle:.1f} %",
            f"{1e3 * self.held / self.jobs:.0f}",
            f"{1e3 * self.cpu / self.jobs:.2f}",
        )


def plain_loop(jobs, on_event):
    """Run the same jobs in the same kind of process, with nothing around them."""
    context = server.context()
    waiting, running = deque(jobs), {}
    while waiting or running:
        while waiting and len(running) < AT_ONCE:
            job = waiting.popleft()
            on_event(Event("job-started", job.name))
            receiver, sender = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(job, sender, None))
            process.start()
            sender.close()
            running[receiver] = process, job
        for receiver in wait(list(running)):
            try:
                receiver.recv()
            except EOFError:
                process, job = running.pop(receiver)
                process.join()
                on_event(Event("job-finished", job.name))


def scheduled(jobs, on_event):
    results = run_jobs(jobs, Policy(processes=AT_ONCE, memory=10**12), on_event)
    failed = [result for result in results.values() if result.status != "done"]
    if failed:
        raise RuntimeError(f"{failed[0].job}: {failed[0].failures}")


def local_jobs(folder, count):
    """Return rows: loop, jobs, jobs/s, beside plain, idle, time of a job, own processor time for each; and the peak."""
    study = write_names(folder / "names-jobs", count)
    jobs, others = (noop_jobs(study, folder / name) for name in ("out", "out-plain"))
    plain, ours, turn = Loop(), Loop(), max(count // TURNS, 10)
    Loop().run(plain_loop, noop_jobs(study, folder / "out-warm")[:4])  # the fork server loads what it loads once

    def on_event(event):
        ours(event)
        if event.kind == "job-finished" and ours.jobs % turn == 0:
            before = plain.seconds
            plain.run(plain_loop, others[plain.jobs : plain.jobs + max(turn // SHARE, 2 * AT_ONCE)])
            ours.pause(plain.seconds - before)

    ours.run(lambda of, _: scheduled(of, on_event), jobs)
    ours.without(plain)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * UNIT
    return [plain.row("plain loop", plain), ours.row("scheduler", plain)], peak


# Slurm ---------------------------------------------------------------


class Place:
    """One processor of a Slurm: what is sent there, one element at a time, and how long the whole of it took."""

    def __init__(self, folder, study, labels, reached):
        self.folder, self.study, self.labels, self.environment = folder, study, labels, reached
        self.out, self.jobs, self.ended = folder / "out", folder / "jobs", folder / "ended"
        self.ended.mkdir(parents=True)
        self.command = folder / "command.sh"
        self.command.write_text(
            f'#!/bin/bash\n{sys.executable} -m bids_app "$@"\ncode=$?\n'
            f'date +%s.%N > "$(mktemp {self.ended}/XXXXXXXX)"\nexit $code\n'
        )
        self.command.chmod(0o755)

    def _until_the_last(self, *words):
        """Send something and return the seconds until its last element ended."""
        before, begin = len(list(self.ended.iterdir())), time.time()
        self._run(*words)
        while len(list(self.ended.iterdir())) < before + len(self.labels):
            time.sleep(0.1)
        time.sleep(0.1)  # the last one writes its time
        return max(float(path.read_text()) for path in self.ended.iterdir()) - begin

    def _run(self, *words):
        subprocess.run(list(map(str, words)), env=self.environment, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)

    def _app(self, *words):
        self._run(sys.executable, "-m", "bids_app", self.study, self.out, "participant", *OPTIONS, *words)

    def plain(self):
        """A plain array, written by hand."""
        script, listing = self.folder / "plain.sh", self.folder / "labels.txt"
        listing.write_text("".join(f"{label}\n" for label in self.labels))
        script.write_text(
            f"#!/bin/bash\n#SBATCH --array=1-{len(self.labels)}%1\n#SBATCH --cpus-per-task=1\n#SBATCH --mem=2G\n"
            f"#SBATCH --output={self.folder}/plain-%A_%a.out\nlabel=$(sed -n ${{SLURM_ARRAY_TASK_ID}}p {listing})\n"
            f"exec {self.command} {self.study} {self.out} participant {' '.join(OPTIONS)} --participant-label $label\n"
        )
        return self._until_the_last("sbatch", script)

    def write(self):
        """Let the app write the scripts."""
        self._app("--write-jobs", "slurm", self.jobs, "--array-at-once", "1", "--container-command", self.command)

    def written(self):
        """The scripts that the app has written."""
        return self._until_the_last("bash", self.jobs / "submit.sh")

    def live(self):
        """The live engine, from the prompt to its end."""
        begin = time.time()
        self._app("--cluster", "slurm", "--array-at-once", "1")
        return time.time() - begin


def one_under_many_names(study, count, voxel):
    """Simulate one participant, give it many names, and return the dataset and the labels."""
    simulate = [sys.executable, "-m", "bids_app.phantom", str(study), "--subjects", "1"]
    simulate += ["--voxel-size", str(voxel), "--t1w-voxel-size", "4"]
    subprocess.run(simulate, check=True, env=environment(), cwd=ROOT, stdout=subprocess.DEVNULL)
    (first,) = (path.name for path in study.glob("sub-*"))
    labels = [first.removeprefix("sub-"), *(f"x{number:03d}" for number in range(1, count))]
    for label in labels[1:]:
        for path in (study / first).rglob("*.*"):
            copy = study / str(path.relative_to(study)).replace(first, f"sub-{label}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, copy)
    return study, sorted(labels)


def in_steps(out):
    """Return the seconds that all steps of an output together took."""
    records = (out / "logs" / "records").rglob("*_step-*.json")
    return sum(json.loads(path.read_text())["duration_s"] for path in records)


def slurm(folder, subjects, voxel):
    """Return rows: what, elements, seconds, elements/min, beside plain, idle; each beside a plain array of its own."""
    study, labels = one_under_many_names(folder / "bids", subjects, voxel)
    rows, count, reached = [], len(labels), environment()
    with running_slurm(folder / "slurm", cpus=2) as slurm, ThreadPoolExecutor(2) as pool:
        reached |= slurm
        for name, method in (("written array", "written"), ("live engine", "live")):
            places = {
                f"plain array for the {name}": Place(folder / f"plain-{method}", study, labels, reached),
                name: Place(folder / method, study, labels, reached),
            }
            plain, other = places.values()
            if method == "written":
                other.write()
            pair = pool.submit(plain.plain), pool.submit(getattr(other, method))
            taken = [future.result() for future in pair]
            for (what, place), spent in zip(places.items(), taken, strict=True):
                beside, idle = spent / taken[0] - 1, 1 - in_steps(place.out) / spent
                rate = 60 * count / spent
                rows.append((what, count, f"{spent:.1f}", f"{rate:.1f}", f"{100 * beside:+.1f} %", f"{idle:.0%}"))
            if method == "written":
                again = other.written()
        ask(reached, "scancel", "--user=root")
    return [*rows, ("written array, all complete", count, f"{again:.1f}", f"{60 * count / again:.1f}", "", "")]


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--participants", type=int, default=10_000, help="of the parts plan and jobs")
    options.add_argument("--do", nargs=3, metavar=("WHAT", "STUDY", "OUT"), help=argparse.SUPPRESS)
    args = options.parse_args(argv)
    if args.do:
        do(args.do[0], Path(args.do[1]), Path(args.do[2]))
        return
    count = 10 if args.quick else args.participants
    with tempfile.TemporaryDirectory(prefix="qsm-scheduler-") as scratch:
        folder = Path(scratch)
        for part in args.only or PARTS:
            note = ""
            if part == "plan":
                head = ("what", "participants", "s", "processor s", "peak GB")
                rows = plan(folder, sorted({10, count}))
            elif part == "jobs":
                head = ("loop", "jobs", "jobs/s", "over plain", "idle", "ms from start to end", "own ms/job")
                rows, peak = local_jobs(folder, count)
                note = f"{AT_ONCE} at once, peak of the scheduler's process {peak / 1e9:.2f} GB"
            elif reason := missing():
                print(f"slurm: {reason}")
                continue
            else:
                head = ("what", "elements", "s", "elements/min", "over plain", "idle")
                rows = slurm(folder, *((2, 6) if args.quick else (12, 3)))
            print(table(head, rows))
            note = ", ".join(filter(None, [machine(), circumstances(), note]))
            write_table(args.readme, f"scheduler-{part}", note, head, rows, 2)


if __name__ == "__main__":
    main()
