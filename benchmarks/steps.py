"""Where the time of the whole command goes: ``python -m benchmarks.steps`` (1 mm brain, 4 echoes, preset default).

Each step with 1, 2, 4 ... threads, as many as the machine has cores: seconds, efficiency (time of one thread over that
of all threads times their number), processor time and the system's share of it, peak memory, and the share of the
memory bandwidth that Fourier transforms and TGV need at least. ``--study DIR`` keeps the simulated study.

What hangs on the time that others leave (seconds, efficiency, bandwidth and what a step waits for) is written where the
machine is quiet alone: with real-time priority, or where no more processes wait than there are cores.
"""

import json
import tempfile
from pathlib import Path

from benchmarks.chain import simulated
from benchmarks.common import bandwidth, call, circumstances, cores, machine, parser, publish

#: From these shares on a step is said to be bound by the system (pages that it clears), by what only one thread does,
#: and by memory.
SYSTEM, EFFICIENCY, MEMORY = 0.25, 0.65, 0.3


def run(study, preset, threads):
    """Return the measurements of every step with so many threads."""
    with tempfile.TemporaryDirectory() as folder:
        done = call("benchmarks.steps_worker", study, Path(folder) / "out", preset, threads)
    return json.loads(done.stdout.splitlines()[-1])


def is_quiet():
    """Return whether seconds say something about the program."""
    run = circumstances()
    return run == "alone" or float(run.split()[-1]) <= cores()


def total(steps):
    """Return the sum over all steps, with the largest peak."""
    names = ("seconds", "user", "system", "moved_bytes")
    sums = {name: sum(step[name] for step in steps.values()) for name in names}
    return sums | {"peak_bytes": max(step["peak_bytes"] for step in steps.values())}


def bound(single, efficiency, share):
    """Name what a step waits for."""
    if single["system"] > SYSTEM * (single["user"] + single["system"]):
        return "new pages of memory"
    if efficiency is not None and efficiency < EFFICIENCY:
        return "one thread"
    return "memory bandwidth" if share > MEMORY else "arithmetic and cache"


def rows(preset, counts, runs, speed, quiet):
    """Return a row for each step, that of most processor time first, and the sum."""
    every = [steps | {"all": total(steps)} for steps in runs]
    order = sorted(runs[0], key=lambda name: -runs[0][name]["user"] - runs[0][name]["system"])
    for name in (*order, "all"):
        single, last = every[0][name], every[-1][name]
        efficiency = single["seconds"] / last["seconds"] / counts[-1] if len(counts) > 1 else None
        share = last["moved_bytes"] / last["seconds"] / speed
        yield (
            preset,
            name,
            *(f"{steps[name]['seconds']:.2f}" if quiet else "" for steps in every),
            f"{efficiency:.0%}" if quiet and efficiency is not None else "",
            f"{single['user'] + single['system']:.2f}",
            f"{single['system'] / max(single['user'] + single['system'], 1e-9):.0%}",
            f"{max(steps[name]['peak_bytes'] for steps in every) / 1e9:.2f}" if single["peak_bytes"] else "",
            f"{share:.0%}" if quiet and share else "",
            bound(single, efficiency, share) if quiet and name not in ("all", "start and report") else "",
            circumstances(),
        )


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--preset", default="default")
    options.add_argument("--study", type=Path, default=None, help="where the simulated study is kept")
    args = options.parse_args(argv)
    size, echoes, most = (4.0, 2, 1) if args.quick else (1.0, 4, cores())
    counts = [count for count in (1, 2, 4, 8, 16) if count <= most]
    speed = bandwidth(2_000_000 if args.quick else 60_000_000)
    with tempfile.TemporaryDirectory() as folder:
        study = simulated(args.study or Path(folder), size, echoes)
        if not args.quick:
            run(study, args.preset, 1)  # compiles what is not compiled, and reads the images from the disk
        runs = [run(study, args.preset, count) for count in counts]
    quiet = is_quiet()
    head = ("preset", "step", *(f"s, {n} thread{'s' * (n > 1)}" for n in counts), "efficiency", "processor s")
    head += ("of it system", "peak GB", "of bandwidth", "bound by", "run")
    table = list(rows(args.preset, counts, runs, speed, quiet))
    for row in table:
        print(*row, sep="\t")
    note = f"{machine()}. {size:g} mm, {echoes} echoes" + (f", triad {speed / 1e9:.0f} GB/s." if quiet else ".")
    publish(args, "steps", note, head, table, 2)


if __name__ == "__main__":
    main()
