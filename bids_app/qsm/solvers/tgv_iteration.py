"""One iteration of TGV: by compiled kernels over rows of voxels, or on whole volumes on a device."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numba
import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.device import copy_of, to_device, to_host
from bids_app.qsm.kernels import tgv as fused
from bids_app.qsm.plain import tgv as plain
from bids_app.qsm.solvers.domain import Domain
from bids_app.qsm.solvers.steps import Stencils, StepSizes

#: The unknowns (chi, psi, w), their extrapolations, and (eta, p, q), in a domain's layout.
Fields = tuple[Sequence[FloatArray], Sequence[FloatArray], Sequence[FloatArray]]
#: Planes that a slab needs for two iterations at a time.
_MIN_PLANES = 4


class Iteration(Protocol):
    """The state of a running iteration."""

    def step(self, most: int) -> int:
        """Take one iteration or, where that is faster and ``most`` allows it, two; return how many."""

    def change(self) -> tuple[float, float]:
        """Return the squared norms of chi's change since the last call, and of chi."""

    def finish(self) -> None:
        """Bring the unknowns back to the arrays that they came from."""


@dataclass(frozen=True)
class Setup:
    """What an iteration works on, and how.

    Parameters
    ----------
    domain : Domain
        The regions, and the layout of the fields.
    fields : three groups of arrays
        The unknowns; changed in place.
    data : two arrays
        Laplacian of the field, and weights of the misfit.
    steps : StepSizes
        Step sizes of the unknowns.
    radii : 2 floats
        Bounds of p and q.
    relaxation : float
        Over-relaxation.
    """

    domain: Domain
    fields: Fields
    data: tuple[FloatArray, FloatArray]
    steps: StepSizes
    radii: tuple[float, float]
    relaxation: float


class FusedIteration:
    """By compiled kernels, in the domain's layout."""

    def __init__(self, setup: Setup) -> None:
        domain, fields = setup.domain, setup.fields
        self._spans, self._chi, self._before = domain.in_mask.argument, fields[0][0], fields[0][0].copy()
        slabs = domain.in_dilated.slabs(numba.get_num_threads())
        self._planes = int(np.diff(slabs.astype(np.int64)).min())
        stencils, both = Stencils.of(domain.grid).weights, (setup.steps.taus, setup.steps.sigmas)
        self._arguments = fields, setup.data, domain.regions, slabs, stencils, both
        self._radii, self._rho = tuple(np.float32(radius) for radius in setup.radii), np.float32(setup.relaxation)

    def step(self, most: int) -> int:
        """Take two iterations in one passage through the memory, where the slabs allow it, or one."""
        fused.primal_ends(*self._arguments, self._rho)
        if most < 2 or self._planes < _MIN_PLANES:
            fused.sweep(*self._arguments, self._radii, self._rho, False)
            return 1
        fused.sweep(*self._arguments, self._radii, self._rho, True)
        fused.primal_ends(*self._arguments, self._rho)
        fused.dual_ends(*self._arguments, self._radii, self._rho)
        return 2

    def change(self) -> tuple[float, float]:
        """Return the squared norms of chi's change since the last call, and of chi."""
        difference, size = fused.change(self._chi, self._before, self._spans).sum(axis=0)
        return float(difference), float(size)

    def finish(self) -> None:
        """Leave the unknowns, which are in place."""


class DeviceIteration:
    """On whole volumes of the current device."""

    def __init__(self, setup: Setup) -> None:
        domain, data, steps = setup.domain, setup.data, setup.steps
        self._put, self._take = domain.layout.put, domain.layout.take
        self._primal, _, self._dual = setup.fields
        primal, bars, dual = ([to_device(self._put(array)) for array in group] for group in setup.fields)
        self._fields, stencils = plain.Fields(primal, bars, dual), Stencils.of(domain.grid)
        self._step = plain.Step(
            (_indicator(domain.dilated), _indicator(domain.mask), _indicator(domain.data)),
            plain.shifted(to_device(self._put(data[0]))),
            plain.shifted(to_device(self._put(data[1]))),
            (_floats(stencils.laplace), _floats(stencils.wave), _floats(stencils.gradient)),
            _floats(steps.taus),
            _floats(steps.sigmas),
            setup.radii,
            setup.relaxation,
        )
        self._before = copy_of(primal[0])

    def step(self, most: int) -> int:
        """Take an iteration."""
        plain.primal_step(self._fields, self._step)
        plain.dual_step(self._fields, self._step)
        return 1

    def change(self) -> tuple[float, float]:
        """Return the squared norms of chi's change since the last call, and of chi."""
        return plain.change(self._fields.primal[0], self._before, self._step.regions[1])

    def finish(self) -> None:
        """Bring the unknowns back to the arrays that they came from."""
        groups = (self._primal, self._fields.primal), (self._dual, self._fields.dual)
        for fields, volumes in groups:
            for field, volume in zip(fields, volumes, strict=True):
                field[:] = self._take(to_host(volume))


def _floats(values: Iterable[np.float32]) -> tuple[float, ...]:
    return tuple(float(value) for value in values)


def _indicator(region: BoolArray) -> FloatArray:
    """Return the inner part of a region as 0 and 1 on the device."""
    return plain.shifted(to_device(region.astype(np.float32)))
