"""Checks of what source separation needs: multi-echo spin echoes, and the maps of the method that was chosen."""

import math
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from bids_app.dataset.images import ImageState, look_at
from bids_app.model.records import GreRun, Subject
from bids_app.model.settings import Settings
from bids_app.qsm.registry import SEPARATION, SPIN_ECHO

#: An echo time above this many seconds is in ms by the look of it.
_LONGEST_ECHO_TIME = 1.0
#: Spin and gradient echoes overlap by this part of the gradient echoes' field of view at least.
_OVERLAP = 0.5


def spin_echo(run: GreRun) -> Iterator[str]:
    """Spin echoes have rising echo times in seconds, are whole, on one grid, and lie where the run does."""
    if not run.spin_echo:
        return
    times = [echo.echo_time for echo in run.spin_echo]
    first: tuple[str, ImageState] | None = None
    for echo, time in zip(run.spin_echo, times, strict=True):
        path = echo.magnitude
        if path is None:
            yield f"{run.basename}: echo {echo.number} of the spin echoes (MESE) has no magnitude image; add it"
            continue
        if time is None:
            yield f"{path.name}: no EchoTime (in seconds) in its JSON sidecar or those above it; add it"
        elif not isinstance(time, int | float) or isinstance(time, bool) or not (math.isfinite(time) and time > 0):
            yield f"{path.name}: EchoTime is {time!r} in its JSON sidecars; set one positive number, in seconds"
        elif time > _LONGEST_ECHO_TIME:
            yield f"{path.name}: EchoTime {time} looks like milliseconds; BIDS wants seconds ({time / 1000})"
        state = look_at(path, is_phase=False)
        if state.problem:
            yield state.problem
        elif first is None:
            first = (path.name, state)
        elif state.shape != first[1].shape or not np.allclose(state.affine, first[1].affine, atol=1e-3):
            yield f"{path.name}: lies on another grid than {first[0]}; all spin echoes share one grid"
    if max(Counter(map(repr, times)).values()) > 1:
        yield f"{run.basename}: two spin echoes (MESE) have the same EchoTime; correct their JSON sidecars"
    if first is not None:
        yield from _field_of_view(run, *first)


def _field_of_view(run: GreRun, name: str, state: ImageState) -> Iterator[str]:
    """Yield a sentence where the spin echoes cover too little of the run."""
    echo = run.echoes[0]
    reference = look_at(next(p for p in (echo.phase, echo.real, echo.magnitude) if p is not None), False, run.coils)
    if reference.problem:
        return
    index = np.stack(np.meshgrid(*[np.linspace(0, n - 1, 9) for n in reference.shape], indexing="ij"), -1).reshape(
        -1, 3
    )
    scanner = index @ np.asarray(reference.affine)[:3, :3].T + np.asarray(reference.affine)[:3, 3]
    to_voxel = np.linalg.inv(np.asarray(state.affine))
    voxel = scanner @ to_voxel[:3, :3].T + to_voxel[:3, 3]
    inside = np.all((voxel > -0.5) & (voxel < np.asarray(state.shape) - 0.5), axis=1).mean()
    if inside < _OVERLAP:
        yield (
            f"{name}: covers {inside:.0%} of the field of view of {run.basename}; check that both lie in one scanner "
            "space, or leave it out with --bids-filter-file"
        )


def missing_maps(run: GreRun, settings: Settings) -> list[str]:
    """Return sentences that name the images which the chosen separation lacks for a run."""
    method = SEPARATION.get(settings.separation.choice.method)
    if method is None:
        return []
    needs, problems = set(method.needs), []
    several = len(run.echo_times) > 1 and all(echo.magnitude or echo.real for echo in run.echoes)
    start = f"{run.basename}: separation.method={method.name} needs"
    if "r2prime" in needs and run.given("r2prime") is None:
        if run.given("r2") is None and not run.spin_echo:
            problems.append(
                f"{start} R2', and there is no multi-echo spin echo (suffix MESE) in its session and no R2map or R2' "
                "map in --derivatives; add one, or set separation.method=r2star_qsm, which needs gradient echoes alone"
            )
        elif run.given("r2") is None and settings.separation.choice.r2 == "none":
            problems.append(f"{start} R2', and separation.r2 is none; set separation.r2=epg")
        if not several:
            problems.append(f"{start} R2*: the magnitude of two or more gradient echoes; add the magnitude images")
    if "r2star" in needs and run.given("r2star") is None:
        if not several:
            problems.append(f"{start} R2*: the magnitude of two or more gradient echoes; add the magnitude images")
        elif settings.relaxometry.choice.method == "none":
            problems.append(f"{start} R2*, and relaxometry.method is none; set relaxometry.method=arlo")
    if "echoes" in needs and (len(run.echoes) < 3 or not several):
        problems.append(f"{start} the magnitude of three or more gradient echoes; this run has {len(run.echoes)}")
    if "local_field" in needs and run.given("chimap") and run.given("local_field") is None:
        problems.append(f"{start} a local field, and the run starts from a susceptibility map; add the local field too")
    elif "local_field" in needs and settings.background.choice.method == "none":
        problems.append(
            f"{start} a local field, and background.method is none; set background.method=lbv and an inversion such as "
            "inversion.method=bayes"
        )
    return problems


def few_echoes(run: GreRun, settings: Settings) -> list[str]:
    """Return a sentence where the run has too few spin echoes for the chosen fit of R2."""
    method = SPIN_ECHO.get(settings.separation.choice.r2)
    if method is None or not run.spin_echo or len(run.spin_echo) >= method.min_echoes:
        return []
    return [
        f"{run.basename}: separation.r2={method.name} needs {method.min_echoes} spin echoes (MESE), there are "
        f"{len(run.spin_echo)}; set separation.r2=spin_echo_line or none"
    ]


def single_step(subjects: Sequence[Subject], settings: Settings) -> list[str]:
    """Return a sentence for every run whose background field is removed already, where the inversion would do that."""
    name = settings.inversion.choice.method
    if settings.background.choice.method != "none":
        return []
    return [
        f"{run.basename}: it starts from the local field {given.path.name}, and inversion.method={name} removes the "
        "background field itself: choose a background method and another inversion, such as --preset default, or leave "
        "the local field out (--derivatives-use)"
        for subject in subjects
        for run in subject.runs
        if (given := run.given("local_field")) and not run.given("chimap")
    ]


def problems_of(subjects: Sequence[Subject], settings: Settings) -> list[str]:
    """Return a sentence for everything that the chosen separation lacks."""
    runs = [run for subject in subjects for run in subject.runs]
    return [text for run in runs for check in (missing_maps, few_echoes) for text in check(run, settings)]
