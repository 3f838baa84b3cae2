"""``python -m bids_app.qsm.warmup``: compile every kernel into numba's cache, once after installation."""

import time

import numpy as np

from bids_app import qsm
from bids_app.qsm.fieldfit import fit_linear
from bids_app.qsm.geometry import Grid
from bids_app.qsm.offsets import mcpc3ds
from bids_app.qsm.unwrap_romeo import romeo, romeo_quality


def main() -> None:
    """Call every method on a tiny problem."""
    start = time.perf_counter()
    grid = Grid((12, 12, 12), (3.0, 3.0, 3.0))
    mask = np.ones(grid.shape, bool)
    times = (0.004, 0.008, 0.012)
    ramp = np.linspace(-1, 1, 12, dtype=np.float32).reshape(-1, 1, 1) * np.ones(grid.shape, np.float32)
    phase = np.stack([ramp * np.float32(250 * t) for t in times])
    magnitude = np.ones_like(phase)
    romeo_quality(phase, mask, grid, magnitude=magnitude, echo_times=times)
    corrected = mcpc3ds(phase, magnitude, times, mask, grid).phase
    fit_linear(romeo(corrected, mask, grid, magnitude=magnitude, echo_times=times), magnitude, times, mask)
    for background in qsm.BACKGROUND.values():
        background(ramp, mask, grid)
    for inversion in qsm.INVERSIONS.values():
        inversion(ramp, mask, grid)
    print(f"kernels compiled in {time.perf_counter() - start:.1f} s")


if __name__ == "__main__":
    main()
