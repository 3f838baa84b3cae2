"""The primal-dual step of TGV on whole volumes; as :mod:`bids_app.qsm.kernels.tgv`.

The volumes leave one voxel free around every region, so that a neighbour is a shifted view and no copy.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.device import namespace
from bids_app.qsm.plain.spectrum import change_of

#: Voxel steps along the axes, and across pairs of them: equal sign before opposite sign, as in the stencils.
ALONG = ((1, 0, 0), (0, 1, 0), (0, 0, 1))
ACROSS = ((1, 1, 0), (1, 0, 1), (0, 1, 1), (1, -1, 0), (1, 0, -1), (0, 1, -1))
#: Places of q's components (xx, yy, zz, xy, xz, yz) in the rows of the symmetric tensor.
ROWS = ((0, 3, 4), (3, 1, 5), (4, 5, 2))


def shifted(array: FloatArray, way: Sequence[int] = (0, 0, 0)) -> FloatArray:
    """Return the view of a volume without its faces, moved by a step: the neighbours of the inner voxels."""
    return array[tuple(slice(1 + step, n - 1 + step) for step, n in zip(way, array.shape, strict=True))]


def stencil(array: FloatArray, weights: Sequence[float]) -> FloatArray:
    """Return a stencil of 7 or 19 points on the inner voxels: centre, along the axes, across pairs of them."""
    out = weights[0] * shifted(array)
    for weight, way in zip(weights[1:], (*ALONG, *ACROSS)[: len(weights) - 1], strict=True):
        out += weight * (shifted(array, way) + shifted(array, [-step for step in way]))
    return out


def _ahead(array: FloatArray, axis: int) -> FloatArray:
    return shifted(array, ALONG[axis]) - shifted(array)


def _behind(array: FloatArray, axis: int) -> FloatArray:
    return shifted(array) - shifted(array, [-step for step in ALONG[axis]])


@dataclass
class Fields:
    """Volumes of the unknowns: chi, psi, w (3) and their extrapolations; eta, p (3), q (6)."""

    primal: list[FloatArray]
    bars: list[FloatArray]
    dual: list[FloatArray]


@dataclass(frozen=True)
class Step:
    """What a step takes, besides the unknowns.

    ``regions`` are dilated mask, mask and data as inner volumes of 0 and 1; ``laplacian`` and ``weights`` inner
    volumes; ``stencils`` Laplacian, wave operator and gradient; ``taus`` and ``sigmas`` the step sizes; ``radii`` the
    bounds of p and q; ``rho`` the over-relaxation.
    """

    regions: tuple[FloatArray, FloatArray, FloatArray]
    laplacian: FloatArray
    weights: FloatArray
    stencils: tuple[tuple[float, ...], tuple[float, ...], tuple[float, ...]]
    taus: tuple[float, ...]
    sigmas: tuple[float, ...]
    radii: tuple[float, ...]
    rho: float


def primal_step(fields: Fields, step: Step) -> None:
    """Step chi and w in the dilated mask and psi in the mask; set their extrapolations."""
    laplace, wave, h = step.stencils
    (dilated, mask, _), (tau_chi, tau_psi, tau_w) = step.regions, step.taus
    eta, p, q = fields.dual[0], fields.dual[1:4], fields.dual[4:]
    slope = stencil(eta, wave)
    for axis in range(3):
        slope -= h[axis] * _behind(p[axis], axis)
    _relax(fields, 0, -tau_chi * slope * dilated, step.rho)
    for place in range(3):
        slope = -shifted(p[place])
        for axis in range(3):
            slope -= h[axis] * _ahead(q[ROWS[place][axis]], axis)
        _relax(fields, 2 + place, -tau_w * slope * dilated, step.rho)
    psi = shifted(fields.primal[1])
    # The proximal step of the weighted square; the adjoint of -Laplacian has the minus of it.
    new = (psi + tau_psi * stencil(eta, laplace)) / (1 + tau_psi * step.weights)
    _relax(fields, 1, (new - psi) * mask, step.rho)


def _relax(fields: Fields, place: int, change: FloatArray, rho: float) -> None:
    inner = shifted(fields.primal[place])
    shifted(fields.bars[place])[...] = inner + 2 * change
    inner += rho * change


def dual_step(fields: Fields, step: Step) -> None:
    """Step eta where the data constraint holds, and p and q over the mask."""
    laplace, wave, h = step.stencils
    (_, mask, known), (sigma_eta, sigma_p, sigma_q) = step.regions, step.sigmas
    chi, psi, w = fields.bars[0], fields.bars[1], fields.bars[2:]
    eta = shifted(fields.dual[0])
    misfit = stencil(chi, wave)
    misfit -= stencil(psi, laplace)
    misfit -= step.laplacian
    eta += step.rho * sigma_eta * misfit * known
    rise = [sigma_p * (h[axis] * _ahead(chi, axis) - shifted(w[axis])) for axis in range(3)]
    _project(fields.dual[1:4], rise, (1, 1, 1), step.radii[0], step.rho, mask)
    rise = [sigma_q * h[axis] * _behind(w[axis], axis) for axis in range(3)]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        rise.append(sigma_q / 2 * (h[a] * _behind(w[b], a) + h[b] * _behind(w[a], b)))
    _project(fields.dual[4:], rise, (1, 1, 1, 2, 2, 2), step.radii[1], step.rho, mask)


def _project(
    dual: Sequence[FloatArray],
    rise: Sequence[FloatArray],
    counts: Sequence[int],
    radius: float,
    rho: float,
    mask: FloatArray,
) -> None:
    """Add the ascent, bring each voxel's vector into the ball of ``radius``, and relax; ``counts`` weigh the norm."""
    xp = namespace(mask)
    squared = xp.zeros_like(mask)
    for part, old, count in zip(rise, dual, counts, strict=True):
        part += shifted(old)
        squared += count * part * part
    share = rho * radius * mask / xp.clip(xp.sqrt(squared), radius, None)
    for part, old in zip(rise, dual, strict=True):
        inner = shifted(old)
        inner *= 1 - rho
        inner += share * part


def change(now: FloatArray, before: FloatArray, mask: FloatArray) -> tuple[float, float]:
    """Return the squared norms of ``now - before`` and of ``now`` in the mask, and copy now to before."""
    inner = shifted(now) * mask
    norms = change_of(inner, shifted(before) * mask)
    before[...] = now
    return norms
