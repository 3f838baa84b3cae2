"""What else of the package is timed: the stages from echoes to a total field, masks, trends, R2* and SWI."""

import numpy as np

from bids_app import qsm
from bids_app.qsm.field.alternation import remove_alternation
from bids_app.qsm.inversion.null_space_trend import appearance, null_space_trend
from bids_app.qsm.mask.make import make_mask
from bids_app.qsm.mask.recipe import FILLED_RECIPE
from bids_app.qsm.mask.thresholds import even_brightness
from bids_app.qsm.phase.coils import combine_one_by_one
from bids_app.qsm.pipeline.boundary_sources import initial_estimate
from bids_app.qsm.units import ppm_per_hz
from bids_app.qsm.unwrap.romeo import romeo, romeo_quality

FIELD_STRENGTH = 3.0
FIRST, STEP = 0.004, 0.006


def _swi(method, echoes):
    """Make susceptibility-weighted images; the field in ppm stands for the map, which takes as long."""
    time, chi = echoes.times[0], echoes.field
    return method(echoes.field, echoes.magnitude[0], echoes.mask, echoes.grid, echo_time=time, chi_ppm=chi)


#: How a method of each kind is called with echoes, and what stands before its name in the table. Phase that is wrapped
#: takes a fit as long.
KINDS = {
    "offsets": ("", lambda m, e: m(e.phase, e.magnitude, e.times, e.mask, e.grid)),
    "field_fit": ("fit, ", lambda m, e: m(e.phase, e.magnitude, e.times, e.mask, grid=e.grid)),
    "relaxometry": ("r2star, ", lambda m, e: m(e.magnitude, e.times, e.mask)),
    "swi": ("swi, ", _swi),
}
METHODS = {prefix + m.name: (m, call) for kind, (prefix, call) in KINDS.items() for m in qsm.METHODS[kind].values()}


class Echoes:
    """Wrapped noisy phase (rad, with a smooth offset) and magnitude of several echoes of a problem."""

    def __init__(self, arrays, grid, count):
        self.mask, self.grid, self.field = arrays["mask"], grid, arrays["total"]
        rng, shape = np.random.default_rng(1), grid.shape
        self.times = tuple(FIRST + STEP * n for n in range(count))
        self.phase, self.magnitude = (np.empty((count, *shape), np.float32) for _ in range(2))
        hz = self.field / np.float32(ppm_per_hz(FIELD_STRENGTH))
        ramp = np.linspace(-2, 2, shape[0], dtype=np.float32)[:, None, None]
        for time, phase, magnitude in zip(self.times, self.phase, self.magnitude, strict=True):
            magnitude[:] = arrays["magnitude"] * np.float32(np.exp(-20 * time))
            phase[:] = np.float32(2 * np.pi * time) * hz + ramp
            phase += np.float32(0.02) * rng.standard_normal(shape, np.float32) / magnitude
            phase -= np.float32(2 * np.pi) * np.rint(phase / np.float32(2 * np.pi))
            magnitude += np.float32(0.02) * rng.standard_normal(shape, np.float32)
            np.abs(magnitude, out=magnitude)


def _mask(e):
    quality = romeo_quality(e.phase, None, magnitude=e.magnitude, echo_times=e.times)
    return lambda: make_mask(FILLED_RECIPE, quality=quality, reliability=quality)


def _coils(e):
    """Combine eight coils (of one phase, which costs as much)."""
    return lambda: combine_one_by_one(lambda: [(e.phase, e.magnitude)] * 8, e.times, None, e.grid)


def _trend(e):
    """Estimate the trend of a map (the field stands for it, which makes no difference in time)."""
    return lambda: null_space_trend(e.field, e.mask, e.grid, appearance(e.magnitude[0], e.mask, e.grid))


def _method(method, run):
    return lambda e: lambda: run(method, e)


#: From the echoes to a function of no argument.
STAGES = {
    "8 coils": _coils,
    "romeo, all echoes": lambda e: lambda: romeo(e.phase, e.mask, magnitude=e.magnitude, echo_times=e.times),
    "phase quality": lambda e: lambda: romeo_quality(e.phase, None, magnitude=e.magnitude, echo_times=e.times),
    "mask, from quality": _mask,
    "inhomogeneity": lambda e: lambda: even_brightness(e.magnitude[0], (10.0, 10.0, 10.0)),
    "boundary sources, initial map": lambda e: lambda: initial_estimate(e.field, e.mask, e.grid),
    "null-space trend": _trend,
    "alternation": lambda e: lambda: remove_alternation(e.field, e.mask),
    **{name: _method(method, run) for name, (method, run) in METHODS.items()},
}


def applies(name, count):
    """Whether a stage can be done with so many echoes."""
    return count >= (METHODS[name][0].min_echoes if name in METHODS else 1)


def call(name, arrays, grid, count):
    """Return a stage as a function of no argument, with its input made."""
    return STAGES[name](Echoes(arrays, grid, count))
