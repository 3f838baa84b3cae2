"""Registration and bias field correction by ANTs: paths in, paths out.

Each job runs in a process of its own: its number of threads is fixed before the first ITK call (results depend on it),
its memory goes back when it ends, and what ANTs prints goes to a log. Tustison et al. 2010, 10.1109/TMI.2010.2046908
(N4); Avants et al. 2008, 10.1016/j.media.2007.06.004 (SyN).

What repeats bit by bit: N4, SyN with local correlation and every resampling at a fixed number of threads; mutual
information at one thread only, so the linear stages have one.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.errors import QsmAppError, ToolMissingError

SEED = 20240117


@dataclass(frozen=True)
class Linear:
    """Settings of a linear stage: ``rigid``, ``affine`` or both in turn (``rigid+affine``), at ``resolution`` mm."""

    kind: str = "rigid"
    resolution: float = 2.0
    start: str = "headers"  # or "centres" of mass


@dataclass(frozen=True)
class Syn:
    """Settings of SyN: at ``resolution`` mm, iterations from coarse (4x) to fine (1x).

    ``metric``: local correlation (``CC``) for images of one contrast, mutual information (``mattes``) for two: where a
    contrast is weak, the local correlation follows the noise.
    """

    resolution: float = 1.5
    iterations: tuple[int, ...] = (60, 40, 15)
    metric: str = "CC"


def run(job: str, work_dir: Path, threads: int, **arguments: object) -> dict[str, object]:
    """Run one function of ``ants_jobs`` in a process of its own and return what it returned.

    Raises
    ------
    ToolMissingError
        If antspyx is not installed.
    QsmAppError
        If the job failed; the sentence holds ANTs' last words.
    """
    work_dir.mkdir(parents=True, exist_ok=True)
    order, answer = work_dir / f"{job}.job.json", work_dir / f"{job}.answer.json"
    order.write_text(json.dumps({"job": job, "arguments": _plain(arguments), "answer": str(answer)}))
    answer.unlink(missing_ok=True)
    package = str(Path(__file__).parents[2])
    paths = [package, *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {
        "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "TMPDIR": str(work_dir),
        "PYTHONPATH": os.pathsep.join(paths),
    }
    log = work_dir / f"{job}.log"
    with log.open("wb") as output:
        line = [sys.executable, "-m", "bids_app.adapters.ants_jobs", str(order)]
        done = subprocess.run(
            line, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, env=environment, check=False
        )
    text = log.read_text(encoding="utf-8", errors="replace")
    if done.returncode != 0 or not answer.is_file():
        if "No module named 'ants'" in text:
            raise ToolMissingError(
                "antspyx is not installed: pip install antspyx, or run without regions (--segmentation none)"
            )
        lines = [line.strip() for line in text.splitlines() if line.strip()] or ["nothing was said"]
        raise QsmAppError(f"ANTs ({job}) failed with exit code {done.returncode}: {lines[-1][:300]}")
    result: dict[str, object] = json.loads(answer.read_text())
    return result


def _plain(arguments: dict[str, object]) -> dict[str, object]:
    def plain(value: object) -> object:
        if isinstance(value, Path):
            return str(value)
        return [plain(v) for v in value] if isinstance(value, list | tuple) else value

    return {name: plain(value) for name, value in arguments.items()}


def n4(image: Path, mask: Path, out: Path, work_dir: Path, threads: int) -> None:
    """Write ``image`` without its bias field, which is fitted inside ``mask``."""
    run("n4", work_dir, threads, image=image, mask=mask, out=out)


def linear(
    fixed: Path, moving: Path, out: Path, work_dir: Path, settings: Linear = Linear(), initial: Path | None = None
) -> None:
    """Write the linear transform (``out``, ITK's text format, ``.txt``) that brings ``moving`` onto ``fixed``.

    Mattes' mutual information, which needs no likeness of contrasts; one thread, so that it repeats bit by bit.
    ``initial`` is a linear transform to start from (instead of ``settings.start``); ``out`` holds it too.
    """
    run(
        "linear",
        work_dir,
        1,
        fixed=fixed,
        moving=moving,
        out=out,
        kind=settings.kind,
        resolution=settings.resolution,
        start=str(initial) if initial else settings.start,
        seed=SEED,
    )


def syn(
    fixed: Path,
    moving: Path,
    initial: Path,
    out: Path,
    work_dir: Path,
    threads: int,
    settings: Syn = Syn(),
    extra: Sequence[tuple[Path, Path, float]] = (),
    region: Sequence[Path] = (),
) -> None:
    """Write the displacement field (``.nii.gz``) that brings ``moving`` to ``fixed``; it holds ``initial`` too.

    ``extra`` are further pairs, fixed and moving, on the grids of the first, with their weight against its 1.
    ``region`` are label images or masks on the moving grid: the deformation is sought in the box around them,
    elsewhere ``initial`` alone holds. Mutual information has one thread, so that it repeats bit by bit.
    """
    if settings.metric != "CC":
        threads = 1
    run(
        "syn",
        work_dir,
        threads,
        fixed=fixed,
        moving=moving,
        initial=initial,
        out=out,
        resolution=settings.resolution,
        iterations=settings.iterations,
        metric=settings.metric,
        seed=SEED,
        extra=list(extra),
        region=list(region),
    )


def apply(
    fixed: Path, moving: Path, transforms: Sequence[Path], out: Path, work_dir: Path, threads: int, labels: bool = False
) -> None:
    """Write ``moving`` on the grid of ``fixed``: all transforms composed, one interpolation.

    The last transform of the list is applied first, as ANTs has it: ``[T1w to GRE, atlas to T1w]``. ``labels`` takes
    ANTs' genericLabel, else linear interpolation. An empty list resamples by the headers alone.
    """
    run("apply", work_dir, threads, fixed=fixed, moving=moving, transforms=list(transforms), out=out, labels=labels)
