"""What can be odd about a phase image: slices with alternating sign, noise instead of phase."""

import numpy as np
from numba import prange

from bids_app.qsm.arrays import FloatArray, NumericArray
from bids_app.qsm.kernels import jit

#: Share of 2 x 2 loops around which the phase of pure noise changes by 2 pi.
NOISE_RESIDUES = 1 / 3
#: Share of neighbours that differ by a quarter of the range and more; one surface of wraps through a volume has more.
_FEW_STEPS = 1e-3


@jit(parallel=True)
def _steps(phase, magnitude, sums):  # type: ignore[no-untyped-def]
    """``sums[i]``: cosines of the steps along x, y and z from plane i on, weighted by the magnitudes, and weights."""
    nx, ny, nz = phase.shape
    for index in prange(nx):
        i = np.int64(index)
        for j in range(ny):
            for k in range(nz):
                here, m = phase[i, j, k], magnitude[i, j, k]
                if i + 1 < nx:
                    w = m * magnitude[i + 1, j, k]
                    sums[i, 0] += w * np.cos(phase[i + 1, j, k] - here)
                    sums[i, 3] += w
                if j + 1 < ny:
                    w = m * magnitude[i, j + 1, k]
                    sums[i, 1] += w * np.cos(phase[i, j + 1, k] - here)
                    sums[i, 4] += w
                if k + 1 < nz:
                    w = m * magnitude[i, j, k + 1]
                    sums[i, 2] += w * np.cos(phase[i, j, k + 1] - here)
                    sums[i, 5] += w


def mean_steps(phase: FloatArray, magnitude: FloatArray | None) -> tuple[float, float, float]:
    """Mean cosine of the phase step to the next voxel along x, y and z, weighted by the magnitudes.

    Near 1 for smooth phase, 0 for noise, near -1 where the sign alternates from voxel to voxel.
    """
    strength = np.ones_like(phase) if magnitude is None else np.ascontiguousarray(magnitude, np.float32)
    sums = np.zeros((phase.shape[0], 6))
    _steps(np.ascontiguousarray(phase, np.float32), strength, sums)
    total = sums.sum(axis=0)
    x, y, z = (float(c / w) if w > 0 else 0.0 for c, w in zip(total[:3], total[3:], strict=True))
    return x, y, z


def has_no_wraps(stored: NumericArray) -> bool:
    """Return whether phase of any scale, echoes first, is smooth as only unwrapped phase is.

    Wraps and noise in air make neighbours differ by large parts of the range; integers are codes of a scanner and
    never unwrapped phase.
    """
    values = stored[-1]
    span = float(stored.max() - stored.min())
    if span == 0 or np.array_equal(values, np.rint(values)):
        return False
    large = pairs = 0
    for axis in range(3):
        line = np.moveaxis(values, axis, 0)
        inside = (line[1:] != 0) & (line[:-1] != 0)  # the boundary of masked phase is no wrap
        pairs += int(np.count_nonzero(inside))
        large += int(np.count_nonzero(inside & (np.abs(np.diff(line, axis=0)) > span / 4)))
    return large < _FEW_STEPS * pairs


def slices_alternate(phase: FloatArray, magnitude: FloatArray | None = None) -> bool:
    """Whether the sign of the signal alternates from slice to slice along z (reconstructed without a shift in k-space).

    Scanners of one vendor store 3D images so. Neighbours must disagree along z by pi and agree along x and
    y; a field that is steep everywhere along z would have to change by pi a slice to be mistaken for it.

    Parameters
    ----------
    phase : float32, ``[x, y, z]``
        Wrapped phase in rad of one echo, best the first; finite.
    magnitude : float32, like ``phase``, optional
        Weights; finite.
    """
    x, y, z = mean_steps(phase, magnitude)
    return z < -0.3 and x > 0.3 and y > 0.3


def undo_alternation(phase: FloatArray) -> FloatArray:
    """Return phase (``[..., z]``, rad) with pi added to every second slice, wrapped."""
    from bids_app.qsm.phase.scaling import wrap

    half_turns = (np.pi * (np.arange(phase.shape[-1]) % 2)).astype(np.float32)
    return wrap(phase + half_turns)


def residue_share(phase: FloatArray, where: NumericArray | None = None) -> float:
    """Share of the 2 x 2 loops in slices around which the phase changes by 2 pi: 0 when smooth, 1/3 for noise.

    ``where`` (bool, like ``phase``) restricts it to loops whose first voxel is in it. Up to 40 slices are looked at.
    """
    chosen = np.unique(np.linspace(0, phase.shape[2] - 1, min(40, phase.shape[2])).astype(int))
    part = phase[:, :, chosen].astype(np.float64)
    along, across = np.diff(part, axis=0), np.diff(part, axis=1)
    along -= 2 * np.pi * np.rint(along / (2 * np.pi))
    across -= 2 * np.pi * np.rint(across / (2 * np.pi))
    turns = np.rint((along[:, :-1] + across[1:] - along[:, 1:] - across[:-1]) / (2 * np.pi)) != 0
    inside = np.ones(turns.shape, bool) if where is None else np.asarray(where[:-1, :-1][:, :, chosen], bool)
    return float(turns[inside].mean()) if inside.any() else 0.0
