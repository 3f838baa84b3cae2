"""Stencils and step sizes of the TGV solver."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.laplacian import PAIRS, Weights, by_points, difference_weights

#: Frequencies per axis at which the operator's norm is looked for, and what is added for those between.
_FREQUENCIES = 17
_BETWEEN = 1.01


@dataclass(frozen=True)
class Stencils:
    """Finite differences on a grid: stencils in 1/mm2, the gradient's ``(x, y, z)`` in 1/mm.

    The order of the weights: centre; neighbours along x, y, z; the wave operator's also across xy, xz, yz, those of
    equal sign before those of opposite sign.
    """

    laplace: FloatArray
    wave: FloatArray
    gradient: FloatArray

    @classmethod
    def of(cls, grid: Grid) -> "Stencils":
        """Return the stencils of the misfit's Laplacian and of the wave operator ``Laplacian / 3 - (b0 . grad)^2``.

        The data's Laplacian is that of :mod:`bids_app.qsm.operators.laplacian`, which a background field passes with
        an error of the fourth order only. It is the continuous one smoothed a little, by 1 + sum h_a^2 delta_a^2 /
        12; so that a field and the susceptibility that makes it stay in step, the wave operator is smoothed alike
        (but for its mixed terms, products of central differences). The misfit's is that of second differences: noise
        at the highest frequencies, which the data's Laplacian holds less of, then counts less.
        """
        h2, b = np.square(grid.voxel_size), np.asarray(grid.b0_dir)
        second, across = difference_weights(grid.voxel_size)
        smoothed = np.array([(b[i] ** 2 * h2[j] + b[j] ** 2 * h2[i]) / (12 * h2[i] * h2[j]) for i, j in PAIRS])
        mixed = np.array([-2 * b[i] * b[j] / (4 * np.sqrt(h2[i] * h2[j])) for i, j in PAIRS])
        laplace = np.concatenate(([-2 * second.sum()], second)).astype(np.float32)
        wave = _stencil((1 / 3 - b**2) * second, across / 3 - smoothed, mixed)
        return cls(laplace, wave, (1 / np.sqrt(h2)).astype(np.float32))

    @property
    def weights(self) -> tuple[np.float32, ...]:
        """The weights of the three stencils in the kernels' order, in one tuple."""
        return *self.laplace, *self.wave, *self.gradient


def _stencil(second: Weights, across: Weights, mixed: Weights) -> FloatArray:
    """Return a stencil of weights of second differences, of their products, and of differences across each pair."""
    centre, along = by_points(second, across)
    return np.concatenate(([centre], along, across + mixed, across - mixed)).astype(np.float32)


@dataclass(frozen=True)
class StepSizes:
    """Step sizes of the primal fields (chi, psi, w) and of the dual ones (eta, p, q)."""

    taus: tuple[np.float32, np.float32, np.float32]
    sigmas: tuple[np.float32, np.float32, np.float32]

    @classmethod
    def of(cls, stencils: Stencils, scales: npt.ArrayLike, ratio: float) -> "StepSizes":
        """Return the largest steps of the given proportions for which the iteration converges.

        Parameters
        ----------
        stencils : Stencils
        scales : 6 floats
            Typical sizes of chi, psi, w and of eta, p, q: an unknown of larger size needs larger steps.
        ratio : float
            Primal over dual steps, beyond what the scales say.
        """
        size = np.asarray(scales, np.float64)
        rows = np.abs(_block_sums(stencils))
        # Diagonal preconditioning (Pock & Chambolle 2011) after bringing every unknown to its typical size.
        scaled = rows * size[:3] / (1 / size[3:, None])
        tau = size[:3] ** 2 / scaled.sum(axis=0) * ratio
        sigma = size[3:] ** 2 / scaled.sum(axis=1) / ratio
        norm = scaled_norm(stencils, tau, sigma)
        as_floats = [tuple(np.float32(v / norm) for v in values) for values in (tau, sigma)]
        return cls(as_floats[0], as_floats[1])  # type: ignore[arg-type]


def _block_sums(stencils: Stencils) -> npt.NDArray[np.float64]:
    """Sums of absolute entries per row of every block: rows eta, p, q, columns chi, psi, w."""
    laplace, wave = (np.abs(s[0]) + 2 * np.abs(s[1:]).sum() for s in (stencils.laplace, stencils.wave))
    difference = 2 * float(stencils.gradient.max())
    return np.array([[wave, laplace, 0], [difference, 0, 1], [0, 0, 2 * difference]], np.float64)


def symbol(stencils: Stencils, angles: npt.NDArray[np.float64]) -> npt.NDArray[np.complex128]:
    """Fourier symbol of the whole operator, ``[frequency, 10 dual, 5 primal]``, at ``angles`` (rad per voxel).

    Rows are eta, p (3), q (xx, yy, zz, xy, xz, yz; the mixed ones times sqrt 2, since they count twice in the norm),
    columns chi, psi, w (3).
    """
    count = len(angles)
    forward = (np.exp(1j * angles) - 1) * stencils.gradient
    backward = (1 - np.exp(-1j * angles)) * stencils.gradient
    out = np.zeros((count, 10, 5), np.complex128)
    first, other = np.array(PAIRS).T
    ways = np.concatenate((angles, angles[:, first] + angles[:, other], angles[:, first] - angles[:, other]), axis=1)
    second = 2 * np.cos(ways) - 2
    out[:, 0, 0] = second @ stencils.wave[1:].astype(np.float64)
    out[:, 0, 1] = -(second[:, :3] @ stencils.laplace[1:].astype(np.float64))
    for axis in range(3):
        out[:, 1 + axis, 0] = forward[:, axis]
        out[:, 1 + axis, 2 + axis] = -1
        out[:, 4 + axis, 2 + axis] = backward[:, axis]
    for row, (i, j) in enumerate(PAIRS, start=7):
        out[:, row, 2 + i] = backward[:, j] / np.sqrt(2)
        out[:, row, 2 + j] = backward[:, i] / np.sqrt(2)
    return out


def scaled_norm(stencils: Stencils, tau: npt.NDArray[np.float64], sigma: npt.NDArray[np.float64]) -> float:
    """Norm of ``sqrt(sigma) K sqrt(tau)`` on the infinite grid: an upper limit of that on any mask."""
    axis = np.linspace(-np.pi, np.pi, _FREQUENCIES)
    # A real operator has the same norm at k and -k: half of the frequencies are enough.
    angles = np.stack(np.meshgrid(axis[axis >= -1e-9], axis, axis, indexing="ij"), -1).reshape(-1, 3)
    left = np.sqrt(np.repeat(sigma, (1, 3, 6)))[:, None]
    right = np.sqrt(np.repeat(tau, (1, 1, 3)))[None, :]
    scaled = symbol(stencils, angles) * left * right
    gram = np.conj(scaled.transpose(0, 2, 1)) @ scaled
    return float(np.sqrt(np.linalg.eigvalsh(gram)[:, -1].max()) * _BETWEEN)
