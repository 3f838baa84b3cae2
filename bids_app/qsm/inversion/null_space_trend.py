"""The null-space trend: smooth trends of a map that no field determines, estimated from tissue of the same appearance.

The field of a susceptibility that changes linearly in space, or in any other way that solves
(laplace / 3 - d^2/dB0^2) chi = 0, has no Laplacian inside the object. It is harmonic there, as a background is, so that
no background method and no inversion can know how much of it the object holds: the map has what priors and the errors
of the background made, up to 10 ppb from one end of the brain to the other. What is known is that tissue of the same
appearance has about the same susceptibility wherever it lies. So the trends are those that make voxels of like
magnitude alike, as far as the data are sure of them.
"""

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.method import Correction, Method
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.dipole import field_in_box
from bids_app.qsm.operators.smoothing import mean_of_known
from bids_app.qsm.params import Params

Array = npt.NDArray[np.float64]

#: Degree of the polynomials, 48 of them. On ten simulated heads 4, 5, 6 and 7 left 30.3, 30.0, 29.6 and 29.5 % of 33.4.
DEGREE = 6
#: mm: the coil's shading is smoother, tissue is not; and what is around a voxel.
_SHADING, _AROUND = 16.0, 4.0
#: Voxels that estimate the trends, and intervals with as many of them into which each property is cut.
_SAMPLE, _BINS = 60_000, 15
#: Iterations of the robust fit, and the residual in medians of its magnitude at which a voxel counts half.
_ROUNDS, _HALF = 8, 1.5
#: mm. Errors of voxels in the same cube of this size are not independent; so many cubes for each polynomial at least.
_CUBE, _MIN_N_CUBES = 20.0, 3.0
#: How many times their variance the trends' errors count: differences between like tissue reach further than a cube.
_CAUTION = 3.0
#: Polynomials with less than this share of the strongest one's power are no more than rounding.
_INDEPENDENT = 1e-10
#: mm of empty space around the object: a trend's field reaches far, and the grid is periodic.
_PADDING = 80.0


def appearance(magnitude: FloatArray, mask: BoolArray, grid: Grid) -> tuple[FloatArray, FloatArray]:
    """Return the properties that identify tissue, for :func:`null_space_trend`, from the combined magnitude.

    Magnitude over its mean within 16 mm, which removes the coil's shading, in the voxel and around it. R2* near
    it or in its place was worse on simulated heads: the field of air raises it over large parts of a head.

    Arrays of ``grid.shape``, 0 outside the mask.
    """
    crop = Crop.around(mask, grid, 0.0)
    known = mask[crop.box] & np.isfinite(magnitude[crop.box])
    values = np.where(known, magnitude[crop.box], np.float32(0)).astype(np.float32)
    values /= np.maximum(_mean_around(values, known, _SHADING, grid), np.float32(np.finfo(np.float32).tiny))
    classes = []
    for image in (values, _mean_around(values, known, _AROUND, grid)):
        classes.append(np.zeros(grid.shape, np.float32))
        classes[-1][crop.box] = image
    return classes[0], classes[1]


def _mean_around(values: FloatArray, known: BoolArray, sd: float, grid: Grid) -> FloatArray:
    """Gaussian mean of known voxels (others are 0), ``sd`` in mm; 0 where nothing is known."""
    mean = mean_of_known(values, known, [sd / v for v in grid.voxel_size])
    return np.where(known, mean, np.float32(0)).astype(np.float32)


def null_space_polynomials(degree: int, b0_dir: Sequence[float]) -> tuple[list[tuple[int, ...]], Array]:
    """Return exponents of x, y, z and the polynomials of degree 1 to ``degree`` that no field determines.

    One column each, with a coefficient per exponents; all solve (laplace / 3 - d^2/dB0^2) p = 0. There are 2 n + 1 of
    degree n. Axes are those of ``b0_dir``, a unit vector.
    """
    b0 = np.asarray(b0_dir, dtype=np.float64)
    operator = np.eye(3) / 3 - np.outer(b0, b0)
    exponents = [e for e in itertools.product(range(degree + 1), repeat=3) if sum(e) <= degree]
    columns = []
    for order in range(1, degree + 1):
        monomials = [e for e in exponents if sum(e) == order]
        below = {e: n for n, e in enumerate(e for e in exponents if sum(e) == order - 2)}
        equations = np.zeros((len(below), len(monomials)))
        for (n, powers), (a, b) in itertools.product(enumerate(monomials), itertools.product(range(3), repeat=2)):
            left = np.array(powers)
            factor = operator[a, b] * left[a]
            left[a] -= 1
            factor *= left[b]
            left[b] -= 1
            if factor:
                equations[below[tuple(left.tolist())], n] += factor
        solutions = linalg.null_space(equations) if below else np.eye(len(monomials))
        place = [exponents.index(e) for e in monomials]
        for solution in solutions.T:
            columns.append(np.zeros(len(exponents)))
            columns[-1][place] = solution
    return exponents, np.array(columns).T


def null_space_trend(
    chi: FloatArray, mask: BoolArray, grid: Grid, properties: Sequence[FloatArray], *, degree: int = DEGREE
) -> FloatArray:
    """Return the smooth trend of a map that tissue of like appearance does not share; subtract it from the map.

    Voxels are sorted into classes by their properties. A robust fit (Cauchy weights) finds the polynomials that no
    field determines which, with a level for each class, come nearest to the map. Their covariance is estimated from
    residuals that may be alike within cubes of 20 mm (cluster-robust, Liang and Zeger 1986, 10.1093/biomet/73.1.13),
    and the fit shrinks towards zero as far as it is unsure: the mean of a normal prior whose variance is what is left
    of the coefficients' squares after that of their errors (empirical Bayes).

    Parameters
    ----------
    chi : float32, ``grid.shape``
        Map in ppm.
    mask : bool, ``grid.shape``
        Where it is valid.
    grid : Grid
        Sampling; the trends depend on the direction of B0.
    properties : float32 arrays, ``grid.shape``
        What tissue is known by; see :func:`appearance`. None: the map as a whole is taken for one tissue.
    degree : int
        Highest degree of the polynomials.

    Returns
    -------
    float32, ``grid.shape``, ppm: with mean 0 in the mask, 0 outside; 0 everywhere where the mask is too small.

    Raises
    ------
    ValueError
        If shapes differ or the degree is below 1.
    """
    if degree < 1 or any(array.shape != grid.shape for array in (chi, mask, *properties)):
        raise ValueError("the arrays need the grid's shape, and the degree must be 1 or more")
    out = np.zeros(grid.shape, np.float32)
    places = np.argwhere(mask)
    places = places[:: max(1, -(-len(places) // _SAMPLE))]
    positions = places * np.array(grid.voxel_size)
    cubes = np.unique(np.floor(positions / _CUBE).astype(np.int64), axis=0, return_inverse=True)[1].ravel()
    degree = min(degree, _most(int(cubes.max(initial=-1)) + 1))
    if degree < 1:
        return out
    space = _Space.around(positions, grid, degree)
    taken = tuple(places.T)
    classes = _classes([np.asarray(p[taken]) for p in properties], len(places))
    trends = space.trends(positions)
    weights = _fit(np.asarray(chi[taken], np.float64), classes, trends, cubes)
    if not weights.any():
        return out
    crop = Crop.around(mask, grid, 0.0)
    inside = mask[crop.box]
    trend = space.evaluate(weights, crop.box, grid)
    trend -= np.float32(trend.mean(where=inside, dtype=np.float64))
    out[crop.box] = np.where(inside, trend, np.float32(0))
    return out


@dataclass(frozen=True)
class _Space:
    """The polynomials, in coordinates about the object's middle that reach from about -1 to 1."""

    middle: Array
    scale: float
    exponents: list[tuple[int, ...]]
    polynomials: Array

    @classmethod
    def around(cls, positions: Array, grid: Grid, degree: int) -> "_Space":
        middle = positions.mean(axis=0)
        scale = float(np.abs(positions - middle).max())
        return cls(middle, scale, *null_space_polynomials(degree, grid.b0_dir))

    def _powers(self, axis: int, positions: Array) -> Array:
        most = max(max(e) for e in self.exponents)
        scaled: Array = (positions - self.middle[axis]) / self.scale
        return scaled[:, None] ** np.arange(most + 1)

    def trends(self, positions: Array) -> Array:
        """Return the polynomials at some positions (mm), a column each."""
        x, y, z = (self._powers(axis, positions[:, axis]) for axis in range(3))
        monomials = np.stack([x[:, a] * y[:, b] * z[:, c] for a, b, c in self.exponents], axis=1)
        return np.asarray(monomials @ self.polynomials)

    def evaluate(self, weights: Array, box: tuple[slice, slice, slice], grid: Grid) -> FloatArray:
        """Return the sum of the polynomials in a box of the grid."""
        x, y, z = (
            self._powers(axis, np.arange(cut.start, cut.stop) * grid.voxel_size[axis]) for axis, cut in enumerate(box)
        )
        most = x.shape[1]
        coefficients = np.zeros((most, most, most))
        coefficients[tuple(np.array(self.exponents).T)] = self.polynomials @ weights
        planes = np.einsum("jb,kc,abc->ajk", y, z, coefficients, optimize=True).reshape(most, -1)
        return (x.astype(np.float32) @ planes.astype(np.float32)).reshape(len(x), len(y), len(z))


def _most(cubes: int) -> int:
    """Return the highest degree whose polynomials, n (n + 2) up to degree n, so many cubes can determine."""
    return math.isqrt(int(cubes / _MIN_N_CUBES) + 1) - 1


def _classes(properties: list[npt.NDArray[np.float32]], count: int) -> npt.NDArray[np.int64]:
    """Return the number of each voxel's class: the intervals of all its properties together."""
    classes = np.zeros(count, np.int64)
    for values in properties:
        limits = np.quantile(values, np.linspace(0, 1, _BINS + 1)[1:-1])
        classes = classes * _BINS + np.digitize(values, limits)
    return np.unique(classes, return_inverse=True)[1].ravel()


def _fit(values: Array, classes: npt.NDArray[np.int64], trends: Array, cubes: npt.NDArray[np.int64]) -> Array:
    """Return the coefficients of the trends, shrunk towards zero as far as they are unsure."""
    order = np.argsort(classes, kind="stable")
    values, trends, classes = values[order], trends[order] - trends.mean(axis=0), classes[order]
    # Of unit size and independent of each other: a prior that is the same for each. Those that a flat object does not
    # separate from others are left out.
    size, turn = linalg.eigh(trends.T @ trends / len(trends))
    kept = size > _INDEPENDENT * size[-1]
    basis = turn[:, kept] / np.sqrt(size[kept])
    both = np.column_stack([values, trends @ basis])
    starts = np.flatnonzero(np.diff(classes, prepend=-1))
    weight = np.ones(len(values))
    for _ in range(_ROUNDS):
        weighted = both * weight[:, None]
        means = np.add.reduceat(weighted, starts) / np.add.reduceat(weight, starts)[:, None]
        centred = both - means[classes]
        value, slopes = centred[:, 0], centred[:, 1:]
        pulls = slopes * weight[:, None]
        normal = pulls.T @ slopes
        inverse = linalg.pinvh(normal)
        estimate = inverse @ (pulls.T @ value)
        residual = value - slopes @ estimate
        # Where most voxels fit exactly, a class of their own each, the others are no outliers for it.
        least = max(1e-6 * float(np.abs(value).max()), float(np.finfo(np.float32).tiny))
        weight = 1 / (1 + (residual / max(_HALF * float(np.median(np.abs(residual))), least)) ** 2)
    pulls = slopes * (weight * residual)[:, None]
    by_cube = np.zeros((int(cubes.max()) + 1, pulls.shape[1]))
    np.add.at(by_cube, cubes[order], pulls)
    # A cube pulls the fit towards itself: without that its residuals would be larger, as in a jackknife over cubes.
    by_cube /= 1 - len(estimate) / len(by_cube)
    by_cube = by_cube @ inverse
    spread = by_cube.T @ by_cube
    variance = float(np.mean(estimate**2) - np.trace(spread) / len(estimate))
    if variance <= 0:
        return np.zeros(len(basis))
    sure = variance * linalg.solve(variance * np.eye(len(estimate)) + _CAUTION * spread, estimate, assume_a="pos")
    return np.asarray(basis @ sure)


def field_of_trend(trend: FloatArray, mask: BoolArray, grid: Grid) -> FloatArray:
    """Field in ppm that a trend makes inside the mask, to be subtracted from a local field with it; 0 outside."""
    return np.where(mask, field_in_box(trend, mask, grid, _PADDING), np.float32(0)).astype(np.float32)


NULL_SPACE_TREND: Correction = Method(
    name="null_space_trend",
    kind="correction",
    label="Removal of the null-space trend",
    function=null_space_trend,
    params=Params,
    sentence=(
        "Smooth trends of the map that the field does not determine (polynomials whose field is "
        "harmonic) were estimated by a robust fit to voxels of similar magnitude. They were shrunk "
        "towards zero by their cluster-robust errors [liang1986] and removed."
    ),
    maturity="this software's own",
    uses=frozenset({"magnitude"}),
)
