"""Checks of a run's images: whole, on one grid, with a known orientation."""

import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bids_app.dataset.images import ImageState, look_at
from bids_app.dataset.metadata_checks import metadata_remarks
from bids_app.dataset.orientation import NO_FORMS
from bids_app.dataset.slices import slices_remark
from bids_app.derivatives.affines import same_place
from bids_app.model.records import Echo, GreRun

#: Angle between a sidecar's B0_dir and the affine's z axis above which the user is warned, degrees.
_B0_ANGLE = 5.0


def files_of(echo: Echo) -> list[Path]:
    """Return the images of an echo."""
    return [path for part in ("magnitude", "phase", "real", "imag") for path in echo.files(part)]


def lead_of(echo: Echo) -> Path:
    """Return the image whose JSON sidecars describe the echo."""
    return echo.phase or echo.real or files_of(echo)[0]


def images(run: GreRun) -> Iterator[str]:
    """Files are whole, 3D, on one grid and with an orientation; a phase is not constant."""
    first: tuple[str, ImageState] | None = None
    unknown: list[tuple[str, str]] = []
    for echo in run.echoes:
        for path in files_of(echo):
            state = look_at(path, is_phase=path in echo.files("phase"), coils=run.coils)
            if state.orientation.unknown and run.b0_dir is None:
                unknown.append((path.name, state.orientation.unknown))
            if state.problem:
                yield state.problem
            elif state.volumes != run.volumes:
                extent = "is 3D" if state.volumes == 1 else f"holds {state.volumes} volumes"
                others = f"hold {run.coils} coils" if run.volumes > 1 else "hold one coil each"
                yield f"{path.name}: {extent}, other images of this run {others}; all have the same"
            elif first is None:
                first = (path.name, state)
            elif state.shape != first[1].shape:
                yield (
                    f"{path.name}: has shape {state.shape}, {first[0]} has {first[1].shape}; "
                    "all echoes and parts share one grid"
                )
            elif not same_place(state.affine, first[1].affine, state.shape):
                yield f"{path.name}: lies elsewhere than {first[0]} (other affine); all echoes and parts share one grid"
    if unknown:
        name, reason = unknown[0]
        others = f" (and {len(unknown) - 1} more of this run)" if len(unknown) > 1 else ""
        yield (
            f"{name}{others}: {reason}; convert it from DICOM again, or set B0_dir (the direction of the main field "
            "along the image's voxel axes, for example [0, 0, 1]) in the JSON sidecar"
        )


def field_maps(run: GreRun) -> Iterator[str]:
    """A field map of the dataset is whole, and lies on the grid of its magnitude."""
    if run.suffix != "fieldmap":
        return
    magnitude = look_at(files_of(run.echoes[0])[0], is_phase=False)
    for given in run.given_maps:
        state = look_at(given.path, is_phase=False)
        if state.problem:
            yield state.problem
        elif not magnitude.problem and (
            state.shape != magnitude.shape or not same_place(state.affine, magnitude.affine, magnitude.shape)
        ):
            yield f"{given.path.name}: does not lie on the grid of {files_of(run.echoes[0])[0].name}; make it again"


def anatomical(run: GreRun) -> Iterator[str]:
    """The anatomical image that goes with the run is whole, and its header says where it lies."""
    if run.t1w is not None:
        state = look_at(run.t1w.path, is_phase=False)
        problem = state.problem
        if not problem and state.orientation.unknown.startswith(NO_FORMS):
            problem = f"{run.t1w.path.name}: {NO_FORMS}, so left and right are unknown; convert it from DICOM again"
        if problem:
            yield f"{problem} (or leave it out with --bids-filter-file)"


def remarks(run: GreRun) -> Iterator[str]:
    """Yield what the user should know about a run that can be processed."""
    path = files_of(run.echoes[0])[0]
    state = look_at(path, is_phase=False, coils=run.coils)
    if run.b0_dir is not None:
        yield from _b0_remark(run.b0_dir, state)
    elif state.orientation.remark:
        yield f"{path.name}: {state.orientation.remark}"
    if run.t1w is not None:
        yield from _far_from_t1w(run.t1w.path, state)
    yield from slices_remark(run)
    yield from metadata_remarks(run)
    if len(run.echoes) == 1 and str(run.echoes[0].metadata.get("MRAcquisitionType", "")).upper() == "2D":
        yield (
            "one echo of a 2D acquisition: where slices have phase offsets of their own, these are removed together "
            "with the mean field of each slice, and the map is less accurate; two echoes or a 3D acquisition avoid this"
        )


def _b0_remark(b0_dir: tuple[float, float, float], state: ImageState) -> Iterator[str]:
    if state.orientation.unknown:
        yield f"B0_dir of the sidecar is used: the image {state.orientation.unknown}"
        return
    axis = (state.affine[:3, :3] / np.linalg.norm(state.affine[:3, :3], axis=0)).T @ (0.0, 0.0, 1.0)
    given = np.asarray(b0_dir, float) / np.linalg.norm(b0_dir)
    angle = math.degrees(math.acos(min(1.0, abs(float(given @ axis)))))  # the field's sense makes no difference
    if angle > _B0_ANGLE:
        yield f"B0_dir of the sidecar is used; it is {angle:.0f} degrees off the direction by the affine"


def _far_from_t1w(t1w: Path, state: ImageState) -> Iterator[str]:
    """Compare the place of the run with that of the T1w image."""
    other = look_at(t1w, is_phase=False)
    if other.problem or state.problem:
        return
    middle = state.affine @ [*((n - 1) / 2 for n in state.shape), 1.0]
    index = np.linalg.solve(other.affine, middle)[:3]
    if np.any(index < -0.5) or np.any(index > np.asarray(other.shape) - 0.5):
        yield (
            f"the middle of the run lies outside {t1w.name}: one of the two headers has a wrong position or "
            "orientation; look at the registration"
        )
