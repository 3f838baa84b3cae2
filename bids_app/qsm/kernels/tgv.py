"""Fused float32 kernels of the TGV solver, over row spans of flat arrays.

A row is computed sixteen voxels at a time (:mod:`bids_app.qsm.kernels.lanes`): every field is read and written once in
each half of an iteration, and what is between stays in registers. Indices are unsigned, which spares the wrap-around
test of negative ones. Neighbouring rows are given by offsets, eight for each row of voxels
(:class:`bids_app.qsm.kernels.rows.RowSpans`). Results do not depend on the number of threads.
"""

# mypy: disable-error-code="no-untyped-def"

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit
from bids_app.qsm.kernels.lanes import WIDTH, ball_share, first, load, store

_OPTIONS = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
_INLINE = {**_OPTIONS, "forceinline": True}
_ONE = np.uint64(1)
_WIDTH = np.uint64(WIDTH)
_HALF, _TWO = np.float32(0.5), np.float32(2)


@jit(**_INLINE)
def _laplace(u, i, rows, c):
    """Return the 7-point stencil ``c = (centre, x, y, z, ...)`` of ``u`` in a vector of voxels."""
    return (
        c[0] * load(u, i)
        + c[1] * (load(u, i + rows[0]) + load(u, i + rows[1]))
        + c[2] * (load(u, i + rows[2]) + load(u, i + rows[3]))
        + c[3] * (load(u, i - _ONE) + load(u, i + _ONE))
    )


@jit(**_INLINE)
def _wave(u, i, rows, c):
    """Return the 19-point stencil ``c`` (``solvers.steps.Stencils``) of ``u`` in a vector of voxels."""
    xm, xp, ym, yp = i + rows[0], i + rows[1], i + rows[2], i + rows[3]
    return (
        _laplace(u, i, rows, c)
        + (c[4] * (load(u, i + rows[5]) + load(u, i + rows[4])) + c[7] * (load(u, i + rows[6]) + load(u, i + rows[7])))
        + (c[5] * (load(u, xp + _ONE) + load(u, xm - _ONE)) + c[8] * (load(u, xp - _ONE) + load(u, xm + _ONE)))
        + (c[6] * (load(u, yp + _ONE) + load(u, ym - _ONE)) + c[9] * (load(u, yp - _ONE) + load(u, ym + _ONE)))
    )


@jit(**_INLINE)
def _relax(x, bar, i, chosen, gradient, tau, rho):
    """Gradient step, extrapolation and relaxation of one primal field."""
    now, step = load(x, i), tau * gradient
    store(bar, i, now - _TWO * step, chosen)
    store(x, i, now - rho * step, chosen)


@jit(**_INLINE)
def _project(y, i, chosen, now, ascent, share, rho):
    """Bring an ascended dual field into its ball, and relax it."""
    store(y, i, (np.float32(1) - rho) * now + share * ascent, chosen)


@jit(**_INLINE)
def _chi_and_w(i, chosen, rows, primal, bars, dual, wave, h, taus, rho):
    """Primal step of chi, by the adjoint of (wave operator, gradient), and of w, by that of (-identity, strain)."""
    chi, _, wx, wy, wz = primal
    chi_bar, _, wx_bar, wy_bar, wz_bar = bars
    eta, px, py, pz, qxx, qyy, qzz, qxy, qxz, qyz = dual
    hx, hy, hz = h
    xp, yp, zp = i + rows[1], i + rows[3], i + _ONE
    x, y, z = load(px, i), load(py, i), load(pz, i)
    along = hx * (load(px, i + rows[0]) - x) + hy * (load(py, i + rows[2]) - y)
    g = _wave(eta, i, rows, wave) + along + hz * (load(pz, i - _ONE) - z)
    _relax(chi, chi_bar, i, chosen, g, taus[0], rho)
    xy, xz, yz = load(qxy, i), load(qxz, i), load(qyz, i)
    g = hx * (load(qxx, i) - load(qxx, xp)) - x + hy * (xy - load(qxy, yp)) + hz * (xz - load(qxz, zp))
    _relax(wx, wx_bar, i, chosen, g, taus[2], rho)
    g = hx * (xy - load(qxy, xp)) - y + hy * (load(qyy, i) - load(qyy, yp)) + hz * (yz - load(qyz, zp))
    _relax(wy, wy_bar, i, chosen, g, taus[2], rho)
    g = hx * (xz - load(qxz, xp)) - z + hy * (yz - load(qyz, yp)) + hz * (load(qzz, i) - load(qzz, zp))
    _relax(wz, wz_bar, i, chosen, g, taus[2], rho)


@jit(**_INLINE)
def _psi(i, chosen, rows, primal, bars, dual, weights, laplace, tau, rho):
    """Primal step of psi; the adjoint of -Laplacian has the minus of it."""
    psi, now = primal[1], load(primal[1], i)
    # The proximal step of the weighted square.
    new = (now + tau * _laplace(dual[0], i, rows, laplace)) / (np.float32(1) + tau * load(weights, i))
    store(bars[1], i, _TWO * new - now, chosen)
    store(psi, i, now + rho * (new - now), chosen)


@jit(**_INLINE)
def _p(i, chosen, rows, bars, dual, sigma, h, radius, rho):
    """Dual step of p: gradient of chi less w."""
    chi, _, wx, wy, wz = bars
    px, py, pz = dual[1], dual[2], dual[3]
    here, x, y, z = load(chi, i), load(px, i), load(py, i), load(pz, i)
    tx = x + sigma * (h[0] * (load(chi, i + rows[1]) - here) - load(wx, i))
    ty = y + sigma * (h[1] * (load(chi, i + rows[3]) - here) - load(wy, i))
    tz = z + sigma * (h[2] * (load(chi, i + _ONE) - here) - load(wz, i))
    share = rho * ball_share(tx * tx + ty * ty + tz * tz, radius)
    _project(px, i, chosen, x, tx, share, rho)
    _project(py, i, chosen, y, ty, share, rho)
    _project(pz, i, chosen, z, tz, share, rho)


@jit(**_INLINE)
def _q(i, chosen, rows, bars, dual, sigma, h, radius, rho):
    """Dual step of q: symmetrised backward differences of w; an off-diagonal one is half of a sum of two."""
    _, _, wx, wy, wz = bars
    _, _, _, _, qxx, qyy, qzz, qxy, qxz, qyz = dual
    hx, hy, hz = sigma * h[0], sigma * h[1], sigma * h[2]
    xm, ym, zm = i + rows[0], i + rows[2], i - _ONE
    x, y, z = load(wx, i), load(wy, i), load(wz, i)
    xx, yy, zz, xy, xz, yz = load(qxx, i), load(qyy, i), load(qzz, i), load(qxy, i), load(qxz, i), load(qyz, i)
    txx = xx + hx * (x - load(wx, xm))
    tyy = yy + hy * (y - load(wy, ym))
    tzz = zz + hz * (z - load(wz, zm))
    hx, hy, hz = _HALF * hx, _HALF * hy, _HALF * hz
    txy = xy + hx * (y - load(wy, xm)) + hy * (x - load(wx, ym))
    txz = xz + hx * (z - load(wz, xm)) + hz * (x - load(wx, zm))
    tyz = yz + hy * (z - load(wz, ym)) + hz * (y - load(wy, zm))
    squares = txx * txx + tyy * tyy + tzz * tzz + _TWO * (txy * txy + txz * txz + tyz * tyz)
    share = rho * ball_share(squares, radius)
    _project(qxx, i, chosen, xx, txx, share, rho)
    _project(qyy, i, chosen, yy, tyy, share, rho)
    _project(qzz, i, chosen, zz, tzz, share, rho)
    _project(qxy, i, chosen, xy, txy, share, rho)
    _project(qxz, i, chosen, xz, txz, share, rho)
    _project(qyz, i, chosen, yz, tyz, share, rho)


@jit(**_INLINE)
def _eta(i, chosen, rows, bars, eta, data, laplace, wave, sigma, rho):
    """Dual step of eta: what the wave operator of chi and the Laplacian of psi leave of the data."""
    misfit = _wave(bars[0], i, rows, wave) - _laplace(bars[1], i, rows, laplace) - load(data, i)
    store(eta, i, load(eta, i) + rho * sigma * misfit, chosen)


@jit(**_INLINE)
def _row(spans, row):
    """Return start and stop of a row, where its last full vector starts, and the offsets to its neighbours."""
    start, stop, _, _, neighbours = spans
    a, b = start[row], stop[row]
    near = neighbours[row]
    return a, b, (near[0], near[1], near[2], near[3], near[4], near[5], near[6], near[7])


@jit(**_INLINE)
def _split(stencils):
    """Return the weights of the Laplacian, of the wave operator and of the gradient, which kernels get in one tuple.

    A parallel loop takes tuples, but none that hold others.
    """
    return stencils[:4], stencils[4:14], stencils[14:]


@jit(**_OPTIONS)
def _primal_plane(x, primal, bars, dual, wide, narrow, weights, stencils, taus, rho):
    """One step of chi and w (dilated mask) and of psi (mask) in a plane, with their extrapolations."""
    laplace, wave, h = _split(stencils)
    for row in range(wide[2][x], wide[2][x + 1]):
        i, b, rows = _row(wide, row)
        while i + _WIDTH <= b:
            _chi_and_w(i, None, rows, primal, bars, dual, wave, h, taus, rho)
            i += _WIDTH
        if i < b:
            _chi_and_w(i, first(b - i), rows, primal, bars, dual, wave, h, taus, rho)
    for row in range(narrow[2][x], narrow[2][x + 1]):
        i, b, rows = _row(narrow, row)
        while i + _WIDTH <= b:
            _psi(i, None, rows, primal, bars, dual, weights, laplace, taus[1], rho)
            i += _WIDTH
        if i < b:
            _psi(i, first(b - i), rows, primal, bars, dual, weights, laplace, taus[1], rho)


@jit(**_OPTIONS)
def _dual_plane(x, bars, dual, laplacian, narrow, inner, stencils, sigmas, radii, rho):
    """One step of eta (where the data constraint holds), of p and q (over the mask) in a plane."""
    sigma_eta, sigma_p, sigma_q = sigmas
    laplace, wave, h = _split(stencils)
    for row in range(narrow[2][x], narrow[2][x + 1]):
        i, b, rows = _row(narrow, row)
        while i + _WIDTH <= b:
            _p(i, None, rows, bars, dual, sigma_p, h, radii[0], rho)
            _q(i, None, rows, bars, dual, sigma_q, h, radii[1], rho)
            i += _WIDTH
        if i < b:
            _p(i, first(b - i), rows, bars, dual, sigma_p, h, radii[0], rho)
            _q(i, first(b - i), rows, bars, dual, sigma_q, h, radii[1], rho)
    for row in range(inner[2][x], inner[2][x + 1]):
        i, b, rows = _row(inner, row)
        while i + _WIDTH <= b:
            _eta(i, None, rows, bars, dual[0], laplacian, laplace, wave, sigma_eta, rho)
            i += _WIDTH
        if i < b:
            _eta(i, first(b - i), rows, bars, dual[0], laplacian, laplace, wave, sigma_eta, rho)


@jit(parallel=True, **_OPTIONS)
def primal_ends(state, data, regions, slabs, stencils, steps, rho):
    """Primal step of the first and the last plane of each slab, which its neighbours need before they :func:`sweep`."""
    primal, bars, dual = state
    wide, narrow, _ = regions
    weights, taus = data[1], steps[0]
    for slab in numba.prange(slabs.size - 1):
        start, last = np.int64(slabs[slab]), np.int64(slabs[slab + 1]) - 1
        _primal_plane(start, primal, bars, dual, wide, narrow, weights, stencils, taus, rho)
        if last > start:
            _primal_plane(last, primal, bars, dual, wide, narrow, weights, stencils, taus, rho)


@jit(parallel=True, **_OPTIONS)
def sweep(state, data, regions, slabs, stencils, steps, radii, rho, twice):
    """Primal step of the other planes, and the dual step of all with the extrapolated primal fields.

    Both go through a slab together, the dual step one plane behind, so that it finds its fields in the cache.
    ``twice``: so does the next iteration, a plane behind. What it does at the ends of a slab needs its neighbours:
    :func:`primal_ends` and :func:`dual_ends` follow. A slab has four planes or more then.
    """
    primal, bars, dual = state
    wide, narrow, inner = regions
    laplacian, weights = data
    taus, sigmas = steps
    for slab in numba.prange(slabs.size - 1):
        start, last = np.int64(slabs[slab]), np.int64(slabs[slab + 1]) - 1
        for x in range(start, last + 1):
            if x + 1 < last:
                _primal_plane(x + 1, primal, bars, dual, wide, narrow, weights, stencils, taus, rho)
            _dual_plane(x, bars, dual, laplacian, narrow, inner, stencils, sigmas, radii, rho)
            if twice and x >= start + 2:
                _primal_plane(x - 1, primal, bars, dual, wide, narrow, weights, stencils, taus, rho)
            if twice and x >= start + 4:
                _dual_plane(x - 2, bars, dual, laplacian, narrow, inner, stencils, sigmas, radii, rho)


@jit(parallel=True, **_OPTIONS)
def dual_ends(state, data, regions, slabs, stencils, steps, radii, rho):
    """Dual step of the two first and the two last planes of each slab."""
    _, bars, dual = state
    _, narrow, inner = regions
    laplacian, sigmas = data[0], steps[1]
    for slab in numba.prange(slabs.size - 1):
        start, last = np.int64(slabs[slab]), np.int64(slabs[slab + 1]) - 1
        for x in (start, start + 1, last - 1, last):
            _dual_plane(x, bars, dual, laplacian, narrow, inner, stencils, sigmas, radii, rho)


@jit(parallel=True, **_OPTIONS)
def change(now, before, spans):
    """Return the squared norms of ``now - before`` and of ``now`` over the spans, and copy now to before."""
    start, stop, pieces, _, _ = spans
    sums = np.zeros((pieces.size - 1, 2), np.float64)
    for piece in numba.prange(pieces.size - 1):
        difference = size = 0.0
        for row in range(pieces[piece], pieces[piece + 1]):
            for i in range(start[row], stop[row]):
                difference += (now[i] - before[i]) ** 2
                size += now[i] ** 2
                before[i] = now[i]
        sums[piece, 0] = difference
        sums[piece, 1] = size
    return sums
