"""``python -m bids_app.qsm.warmup``: compile every kernel into numba's cache, once after installation."""

import time
from collections.abc import Sequence

import numpy as np

from bids_app import qsm
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.field.alternation import remove_alternation
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.generalised_variation import TgvParams
from bids_app.qsm.inversion.tgv import tgv
from bids_app.qsm.kernels.cache import compiled_count
from bids_app.qsm.mask.head import extract_brain
from bids_app.qsm.mask.make import make_mask
from bids_app.qsm.mask.recipe import FILLED_RECIPE
from bids_app.qsm.mask.support import signal_support
from bids_app.qsm.phase.checks import slices_alternate
from bids_app.qsm.phase.coils import combine_coils
from bids_app.qsm.phase.scaling import to_radians
from bids_app.qsm.process import prepare_process
from bids_app.qsm.quality.echoes import field_drift, ghost_fraction, residual_wraps, snr
from bids_app.qsm.quality.maps import boundary_ratio, field_quality, streak_ratio
from bids_app.qsm.results import FieldFit
from bids_app.qsm.unwrap.romeo import romeo_quality


def _field_side(phase: FloatArray, magnitude: FloatArray, times: Sequence[float], mask: BoolArray, grid: Grid) -> None:
    phase = to_radians(phase).phase
    slices_alternate(phase[0], magnitude[0])
    quality = romeo_quality(phase, mask, grid, magnitude=magnitude, echo_times=times)
    signal_support(quality, True, True)
    for offsets in qsm.OFFSETS.values():
        offsets(phase, magnitude, times, mask, grid)
    combine_coils(phase[None, :2], magnitude[None, :2], times[:2], mask, grid)
    for unwrap in qsm.UNWRAP.values():
        unwrapped = unwrap(phase, mask, grid, magnitude=magnitude, echo_times=times)
    for fit in qsm.FIELD_FITS.values():
        fitted = fit(unwrapped, magnitude, times, mask, grid=grid)
    _quality(unwrapped, magnitude, times, fitted, mask, grid)
    for recipe in (FILLED_RECIPE, "magnitude,even:10,gaussian:1,open:1,smooth:2:0.5"):
        make_mask(recipe, quality=quality, magnitude=magnitude[0], reliability=magnitude[0])
    ball = sum(np.square(np.arange(24, dtype=np.float32) - 12)[:, None, None].swapaxes(0, a) for a in range(3)) < 36
    extract_brain(np.asarray(ball, np.float32), None, (8.0, 8.0, 8.0))
    for relaxometry in qsm.RELAXOMETRY.values():
        relaxometry(magnitude, times, mask)
    _separation(magnitude, times, mask, grid)
    for swi in qsm.SWI.values():
        swi(unwrapped[0], magnitude[0], mask, grid, echo_time=times[0], chi_ppm=magnitude[0])


def _separation(magnitude: FloatArray, times: Sequence[float], mask: BoolArray, grid: Grid) -> None:
    """Call every fit of R2 and R2* that separations use, and every separation, on little more than a ball."""
    train = np.concatenate([magnitude, magnitude[:1] / 2])
    for spin_echo in qsm.SPIN_ECHO.values():
        r2 = spin_echo(train, (0.01, 0.02, 0.03, 0.04), mask, grid).r2
    for correct in qsm.GRADIENT_CORRECTIONS.values():
        correct(magnitude, times, magnitude[0], mask, grid)
    chi = np.where(mask, magnitude[1] - np.float32(0.9), np.float32(0))
    data = qsm.SeparationData(
        grid,
        mask,
        3.0,
        local_field=(chi / np.float32(10)).astype(np.float32),
        chi=chi,
        r2prime=(np.abs(chi) * np.float32(200)).astype(np.float32),
        r2star=r2 + np.float32(5),
        r2=r2,
        magnitude=magnitude,
        echo_times=tuple(times),
    )
    for separate in qsm.SEPARATION.values():
        separate(data)


def _quality(
    unwrapped: FloatArray, magnitude: FloatArray, times: Sequence[float], fit: FieldFit, mask: BoolArray, grid: Grid
) -> None:
    residual_wraps(unwrapped, mask)
    field_drift(unwrapped, magnitude, times, fit.field_hz, mask)
    ghost_fraction(magnitude[0], mask)
    snr(magnitude[0], mask)
    # The little problem has no noise: its residual alone would end before the last kernel.
    field_quality(mask * np.float32(1), mask * np.float32(0.1), mask)
    field_quality(fit.sd_hz, fit.residual_rad, mask)
    boundary_ratio(fit.field_hz, mask, grid)
    streak_ratio(fit.field_hz, mask, grid)


def _one_echo(phase: FloatArray, magnitude: FloatArray, times: Sequence[float], mask: BoolArray, grid: Grid) -> None:
    quality = romeo_quality(phase, None, magnitude=magnitude, echo_times=times)
    signal_support(quality, False, True)
    for unwrap in qsm.UNWRAP.values():
        unwrapped = unwrap(phase, mask, grid, magnitude=magnitude, echo_times=times)
    for fit in qsm.FIELD_FITS.values():
        fit(unwrapped, magnitude, times, mask)


def _every_inversion(field: FloatArray, mask: BoolArray, grid: Grid, magnitude: FloatArray) -> None:
    """Every registered background method and inversion, as the steps call them and with as little as possible."""
    weights = np.where(mask, magnitude, np.float32(0))
    alternating = np.float32(1) - 2 * (np.arange(grid.shape[2], dtype=np.float32) % 2)
    remove_alternation(field + alternating, mask, weights=weights)
    for background in qsm.BACKGROUND.values():
        background(field, mask, grid)
        background(field, mask, grid, weights=weights)
    for inversion in (method for method in qsm.INVERSIONS.values() if "model" not in method.needs):
        inversion(field, mask, grid)
        inversion(field, mask, grid, weights=weights, magnitude=magnitude)
    tgv(field, mask, grid, params=TgvParams(iterations=1))  # else iterations are taken in pairs


def _problem() -> tuple[FloatArray, FloatArray, tuple[float, ...], BoolArray, Grid]:
    """Phase and magnitude of three echoes of a ball whose field is neither constant nor harmonic."""
    grid = Grid((24, 24, 24), (3.0, 3.0, 3.0), (0.1, 0.2, 1.0))
    x, y, z = np.meshgrid(*[np.arange(24, dtype=np.float32) - 11.5] * 3, indexing="ij")
    mask = x**2 + y**2 + z**2 < 100
    field = (10 * np.sin(x / 2) * np.cos(y / 3) + z).astype(np.float32)
    times = (0.004, 0.008, 0.012)
    magnitude = np.stack([mask * np.float32(np.exp(-20 * t)) + np.float32(0.01) for t in times])
    phase = np.stack([np.angle(np.exp(2j * np.pi * field * t)).astype(np.float32) for t in times])
    return phase, magnitude, times, mask, grid


def warm_up() -> float:
    """Call every method on a tiny problem; return the seconds it took."""
    start = time.perf_counter()
    phase, magnitude, times, mask, grid = _problem()
    _field_side(phase, magnitude, times, mask, grid)
    _one_echo(phase[:1], magnitude[:1], times[:1], mask, grid)
    field = np.where(mask, phase[1] / np.float32(10), np.float32(0))
    _every_inversion(field, mask, grid, magnitude[0])
    return time.perf_counter() - start


def main() -> None:
    """Compile, and say how many kernels there were and how long it took."""
    prepare_process()
    seconds = warm_up()
    print(f"{compiled_count()} kernels compiled in {seconds:.1f} s")


if __name__ == "__main__":
    main()
