"""The primal-dual iteration of TGV on one grid, and the passage from a coarse grid to a fine one."""

from collections.abc import Callable
from dataclasses import dataclass

import numba
import numpy as np
import numpy.typing as npt
from scipy import ndimage

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.device import current_device
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels.interpolation import interpolate
from bids_app.qsm.solvers.domain import MARGIN, Domain
from bids_app.qsm.solvers.steps import Stencils, StepSizes
from bids_app.qsm.solvers.tgv_iteration import DeviceIteration, FusedIteration, Iteration, Setup
from bids_app.qsm.threads import threads

PRIMAL = ("chi", "psi", "wx", "wy", "wz")
DUAL = ("eta", "px", "py", "pz", "qxx", "qyy", "qzz", "qxy", "qxz", "qyz")
#: Typical sizes of chi, psi, w, eta in units of the field's noise; those of p and q are their bounds.
CHI_SIZE, PSI_SIZE, W_SIZE, ETA_SIZE = 50.0, 5.0, 2.5, 25.0
#: Iterations between two looks at the change.
CHECK_EVERY = 20
#: Numbers in a page of memory, and by how many the fields are shifted in it from one to the next.
_PAGE, _STAGGER = 1024, 80
#: Voxels up to which one thread does the work.
SMALL = 40_000


def _fields(count: int, size: int) -> tuple[FloatArray, ...]:
    """Return so many fields of zeros in one block of memory, none at another's place within a page.

    A kernel walks along all of them at once: in one block few pages are enough, and at different places within a page
    they do not compete for the same lines of the cache.
    """
    pitch = -(-size // _PAGE) * _PAGE + _STAGGER
    block = np.zeros(count * pitch, np.float32)
    return tuple(block[start : start + size] for start in range(0, count * pitch, pitch))


@dataclass
class State:
    """All unknowns of the saddle-point problem, in a domain's layout: (chi, psi, w) and (eta, p, q)."""

    primal: tuple[FloatArray, ...]
    dual: tuple[FloatArray, ...]

    @classmethod
    def zero(cls, size: int) -> "State":
        """Return the state of no susceptibility."""
        fields = _fields(len(PRIMAL) + len(DUAL), size)
        return cls(fields[: len(PRIMAL)], fields[len(PRIMAL) :])


@dataclass(frozen=True)
class Problem:
    """One grid's data in its layout: the field's Laplacian (noise/mm2) and the weights of the misfit."""

    domain: Domain
    laplacian: FloatArray
    weights: FloatArray


def solve(
    problem: Problem,
    state: State,
    alphas: tuple[float, float],
    limits: tuple[int, float],
    relaxation: float,
    ratio: float,
    tick: Callable[[], None],
) -> int:
    """Iterate ``state`` in place until chi changes by less than the tolerance, and return the iterations done.

    Parameters
    ----------
    problem : Problem
    state : State
        Start, changed in place.
    alphas : 2 floats
        Weights of the first-order (mm) and of the second-order term (mm2).
    limits : int and float
        Most iterations, and the relative change of chi per iteration that ends them.
    relaxation : float
        Over-relaxation, below 2.
    ratio : float
        Primal over dual step size, beyond the typical sizes of the unknowns.
    tick : callable
        Called after each iteration.
    """
    domain, (iterations, tolerance) = problem.domain, limits
    steps = StepSizes.of(Stencils.of(domain.grid), (CHI_SIZE, PSI_SIZE, W_SIZE, ETA_SIZE, *alphas), ratio)
    fields = state.primal, _fields(len(PRIMAL), domain.layout.size), state.dual
    data = problem.laplacian, problem.weights
    kind: type[FusedIteration] | type[DeviceIteration] = FusedIteration if current_device().is_host else DeviceIteration
    # Threads that wait for each other cost more than they save on a small grid; the result is the same.
    with threads(numba.get_num_threads() if domain.in_mask.voxels > SMALL else 1):
        running: Iteration = kind(Setup(domain, fields, data, steps, alphas, relaxation))
        done = 0
        while done < iterations:
            count = running.step(iterations - done)
            for _ in range(count):
                tick()
            done += count
            if done % CHECK_EVERY == 0:
                difference, size = running.change()
                if difference <= (tolerance * CHECK_EVERY) ** 2 * size:
                    break
        running.finish()
    return done


def factors(grid: Grid) -> tuple[int, int, int]:
    """Return by how much each axis is coarsened: 2, or 1 where the voxel is already long."""
    limit = 1.5 * min(grid.voxel_size)
    return tuple(2 if size < limit else 1 for size in grid.voxel_size)  # type: ignore[return-value]


def _blocks(array: FloatArray, factor: tuple[int, int, int]) -> FloatArray:
    """Return the array in blocks, ``[x, fx, y, fy, z, fz]``, padded by zero to whole blocks."""
    short = [(-n) % f for n, f in zip(array.shape, factor, strict=True)]
    padded = np.pad(array, [(0, s) for s in short])
    shape = [part for n, f in zip(padded.shape, factor, strict=True) for part in (n // f, f)]
    return padded.reshape(shape)


def coarsen(problem: Problem) -> Problem | None:
    """Return the problem on a grid of about twice the voxel size, or None where too little would be left.

    The Laplacian of the field and the weights are averaged over blocks; a coarse voxel belongs to the mask when half
    of its block does.
    """
    fine, factor = problem.domain, factors(problem.domain.grid)
    inner = tuple(slice(MARGIN, -MARGIN) for _ in range(3))
    mask = _blocks(fine.mask[inner].astype(np.float32), factor).mean(axis=(1, 3, 5)) >= 0.5
    mask = np.pad(mask, MARGIN)
    if np.count_nonzero(ndimage.binary_erosion(mask)) < 500:
        return None
    size = tuple(s * f for s, f in zip(fine.grid.voxel_size, factor, strict=True))
    known, laplacian, weights = (
        np.pad(_blocks(volume[inner].astype(np.float32), factor).mean(axis=(1, 3, 5)), MARGIN)
        for volume in (fine.data, fine.layout.put(problem.laplacian), fine.layout.put(problem.weights))
    )
    # Blocks whose data are mostly unknown hold no constraint.
    domain = Domain.of(mask, Grid(mask.shape, size, fine.grid.b0_dir), fine.strict, known >= 0.5)  # type: ignore[arg-type]
    laplacian = np.where(domain.data, laplacian / np.maximum(known, 0.5), 0).astype(np.float32)
    return Problem(domain, domain.layout.take(laplacian), domain.layout.take(np.maximum(weights, 0)))


def _neighbours(fine: int, coarse: int, factor: int) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Return the coarse neighbours ``[2, fine]`` of each fine voxel along an axis, and their shares."""
    # Both boxes have the same margin in voxels; the centre of fine voxel i lies at (i + 1/2) / factor - 1/2.
    place = np.clip(MARGIN + (np.arange(fine) + 0.5 - MARGIN) / factor - 0.5, 0, coarse - 1)
    low = np.minimum(place.astype(np.int64), coarse - 1)
    share = (place - low).astype(np.float32)
    return np.stack([low, np.minimum(low + 1, coarse - 1)]), np.stack([1 - share, share])


def refine(state: State, coarse: Domain, fine: Domain) -> State:
    """Return a coarse grid's unknowns on the fine one (linear interpolation), each inside its region alone."""
    sizes = zip(fine.grid.shape, coarse.grid.shape, factors(fine.grid), strict=True)
    places, shares = zip(*(_neighbours(*size) for size in sizes), strict=True)
    inside = {"chi": fine.dilated, "psi": fine.mask, "eta": fine.data}
    start, values = State.zero(fine.layout.size), np.empty(fine.grid.shape, np.float32)
    for names, olds, news in ((PRIMAL, state.primal, start.primal), (DUAL, state.dual, start.dual)):
        for name, old, new in zip(names, olds, news, strict=True):
            region = inside.get(name, fine.dilated if name[0] == "w" else fine.mask)
            interpolate(coarse.layout.put(old), places, shares, region, values)
            new[:] = fine.layout.take(values)
    return start
