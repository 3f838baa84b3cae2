"""``python -m bids_app.qsm.warmup``: compile every kernel into numba's cache, once after installation."""

import time
from collections.abc import Sequence

import numpy as np

from bids_app import qsm
from bids_app.qsm.bipolar import bipolar
from bids_app.qsm.fieldfit import fit_linear, fit_nonlinear
from bids_app.qsm.geometry import BoolArray, FloatArray, Grid
from bids_app.qsm.masking import FILLED_RECIPE, make_mask, signal_support
from bids_app.qsm.oddities import slices_alternate
from bids_app.qsm.phase import to_radians
from bids_app.qsm.relaxometry import r2star_arlo, r2star_loglinear
from bids_app.qsm.swi import clear_swi
from bids_app.qsm.unwrap_romeo import romeo_quality


def _field_side(phase: FloatArray, magnitude: FloatArray, times: Sequence[float], mask: BoolArray, grid: Grid) -> None:
    phase = to_radians(phase).phase
    slices_alternate(phase[0], magnitude[0])
    quality = romeo_quality(phase, mask, grid, magnitude=magnitude, echo_times=times)
    signal_support(quality, True, True)
    bipolar(phase, magnitude, times, mask, grid)
    for unwrap in qsm.UNWRAP.values():
        unwrapped = unwrap(phase, mask, grid, magnitude=magnitude, echo_times=times)
    fit_linear(unwrapped, magnitude, times, mask)
    fit_nonlinear(unwrapped, magnitude, times, mask)
    for recipe in (FILLED_RECIPE, "magnitude,even:10,gaussian:1,open:1,smooth:2:0.5"):
        make_mask(recipe, quality=quality, magnitude=magnitude[0])
    r2star_arlo(magnitude, times, mask)
    r2star_loglinear(magnitude, times, mask)
    clear_swi(unwrapped[0], magnitude[0], mask, grid)


def main() -> None:
    """Call every method on a tiny problem."""
    start = time.perf_counter()
    grid = Grid((12, 12, 12), (3.0, 3.0, 3.0))
    mask = np.ones(grid.shape, bool)
    times = (0.004, 0.008, 0.012)
    ramp = np.linspace(-1, 1, 12, dtype=np.float32).reshape(-1, 1, 1) * np.ones(grid.shape, np.float32)
    phase = np.stack([ramp * np.float32(250 * t) for t in times])
    magnitude = np.ones_like(phase)
    _field_side(phase, magnitude, times, mask, grid)
    for background in qsm.BACKGROUND.values():
        background(ramp, mask, grid)
    for inversion in qsm.INVERSIONS.values():
        inversion(ramp, mask, grid)
    print(f"kernels compiled in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
