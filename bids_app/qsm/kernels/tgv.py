"""Fused float32 kernels of the TGV solver, over row spans of flat arrays.

Every field is an array of its own and every loop writes one array and reads few: LLVM then needs few alias checks
and vectorises; the row buffers of a piece stay in the first-level cache. Indices are unsigned, which spares the
wrap-around test of negative ones. Neighbouring rows are given by offsets, eight for each row of voxels
(:class:`bids_app.qsm.kernels.rows.RowSpans`). Results do not depend on the number of threads.
"""

# mypy: disable-error-code="no-untyped-def"
# ruff: noqa: PLR0913

import numba
import numpy as np

from bids_app.qsm.kernels.cache import jit

_OPTIONS = {"error_model": "numpy", "fastmath": {"contract", "nsz"}}
_ONE = np.uint64(1)
#: The step back, as an unsigned number to add.
_BACK = np.uint64(2**64 - 1)


@jit(**_OPTIONS)
def _laplace_row(u, a, b, rows, c, out):
    """Set ``out`` to the 7-point stencil ``c = (centre, x, y, z)`` of ``u`` on one span."""
    xm, xp, ym, yp = rows[0], rows[1], rows[2], rows[3]
    c0, cx, cy, cz = c[0], c[1], c[2], c[3]
    for i in range(a, b):
        out[i - a] = (
            c0 * u[i] + cx * (u[i + xm] + u[i + xp]) + cy * (u[i + ym] + u[i + yp]) + cz * (u[i - _ONE] + u[i + _ONE])
        )


@jit(**_OPTIONS)
def _wave_row(u, a, b, rows, c, out):
    """Set ``out`` to the 19-point stencil ``c`` (``solvers.steps.Stencils``) of ``u`` on one span."""
    xm, xp, ym, yp = rows[0], rows[1], rows[2], rows[3]
    mm, pp, pm, mp = rows[4], rows[5], rows[6], rows[7]
    xy, xz, yz, yx, zx, zy = c[4], c[5], c[6], c[7], c[8], c[9]
    _laplace_row(u, a, b, rows, c, out)
    for i in range(a, b):
        out[i - a] += xy * (u[i + pp] + u[i + mm]) + yx * (u[i + pm] + u[i + mp])
    for i in range(a, b):
        out[i - a] += xz * (u[i + xp + _ONE] + u[i + xm - _ONE]) + zx * (u[i + xp - _ONE] + u[i + xm + _ONE])
    for i in range(a, b):
        out[i - a] += yz * (u[i + yp + _ONE] + u[i + ym - _ONE]) + zy * (u[i + yp - _ONE] + u[i + ym + _ONE])


@jit(**_OPTIONS)
def _relax_row(x, bar, a, b, gradient, tau, rho):
    """Gradient step, extrapolation and relaxation of one primal field on one span."""
    for i in range(a, b):
        step = tau * gradient[i - a]
        bar[i] = x[i] - 2 * step
        x[i] -= rho * step


@jit(**_OPTIONS)
def _project_row(y, a, b, new, share, keep):
    for i in range(a, b):
        y[i] = keep * y[i] + share[i - a] * new[i - a]


@jit(**_OPTIONS)
def _chi_row(a, b, rows, eta, px, py, pz, wave, h, g):
    """Set ``g`` to the adjoint of (wave operator, gradient) applied to (eta, p)."""
    _wave_row(eta, a, b, rows, wave, g)
    xm, ym = rows[0], rows[2]
    hx, hy, hz = h[0], h[1], h[2]
    for i in range(a, b):
        g[i - a] += hx * (px[i + xm] - px[i]) + hy * (py[i + ym] - py[i])
    for i in range(a, b):
        g[i - a] += hz * (pz[i - _ONE] - pz[i])


@jit(**_OPTIONS)
def _w_row(a, b, p, q0, q1, q2, s0, s1, s2, h0, h1, h2, g):
    """Set ``g`` to the adjoint of (-identity, symmetrised backward difference) applied to (p, q), one component."""
    for i in range(a, b):
        g[i - a] = h0 * (q0[i] - q0[i + s0]) - p[i]
    for i in range(a, b):
        g[i - a] += h1 * (q1[i] - q1[i + s1])
    for i in range(a, b):
        g[i - a] += h2 * (q2[i] - q2[i + s2])


@jit(**_OPTIONS)
def _primal_plane(x, primal, bars, dual, wide, narrow, weights, stencils, taus, rho, g):
    """One step of chi and w (dilated mask) and of psi (mask) in a plane, with their extrapolations."""
    chi, psi, wx, wy, wz = primal
    chi_bar, psi_bar, wx_bar, wy_bar, wz_bar = bars
    eta, px, py, pz, qxx, qyy, qzz, qxy, qxz, qyz = dual
    laplace, wave, h = stencils
    tau_chi, tau_psi, tau_w = taus
    start, stop, planes, _, neighbours = wide
    start_psi, stop_psi, planes_psi, _, neighbours_psi = narrow
    for row in range(planes[x], planes[x + 1]):
        a, b = start[row], stop[row]
        rows = neighbours[row]
        xp, yp = rows[1], rows[3]
        _chi_row(a, b, rows, eta, px, py, pz, wave, h, g)
        _relax_row(chi, chi_bar, a, b, g, tau_chi, rho)
        _w_row(a, b, px, qxx, qxy, qxz, xp, yp, _ONE, h[0], h[1], h[2], g)
        _relax_row(wx, wx_bar, a, b, g, tau_w, rho)
        _w_row(a, b, py, qxy, qyy, qyz, xp, yp, _ONE, h[0], h[1], h[2], g)
        _relax_row(wy, wy_bar, a, b, g, tau_w, rho)
        _w_row(a, b, pz, qxz, qyz, qzz, xp, yp, _ONE, h[0], h[1], h[2], g)
        _relax_row(wz, wz_bar, a, b, g, tau_w, rho)
    for row in range(planes_psi[x], planes_psi[x + 1]):
        a, b = start_psi[row], stop_psi[row]
        _laplace_row(eta, a, b, neighbours_psi[row], laplace, g)
        for i in range(a, b):
            # The proximal step of the weighted square; the adjoint of -Laplacian has the minus of it.
            g[i - a] = (psi[i] + tau_psi * g[i - a]) / (1 + tau_psi * weights[i])
        for i in range(a, b):
            psi_bar[i] = 2 * g[i - a] - psi[i]
            psi[i] += rho * (g[i - a] - psi[i])


@jit(**_OPTIONS)
def _ball_share(n, radius, rho, share):
    """Turn squared norms into relaxation times the factor that brings vectors into the ball of ``radius``."""
    for k in range(n):
        share[k] = rho * radius / max(radius, np.sqrt(share[k]))


@jit(**_OPTIONS)
def _dual_p_row(a, b, xp, yp, chi, w, p, sigma, h, radius, rho, t):
    wx, wy, wz = w
    px, py, pz = p
    tx, ty, tz, share = t[0], t[1], t[2], t[6]
    hx, hy, hz = h[0], h[1], h[2]
    for i in range(a, b):
        tx[i - a] = px[i] + sigma * (hx * (chi[i + xp] - chi[i]) - wx[i])
    for i in range(a, b):
        ty[i - a] = py[i] + sigma * (hy * (chi[i + yp] - chi[i]) - wy[i])
    for i in range(a, b):
        tz[i - a] = pz[i] + sigma * (hz * (chi[i + _ONE] - chi[i]) - wz[i])
    n = b - a
    for k in range(n):
        share[k] = tx[k] * tx[k] + ty[k] * ty[k] + tz[k] * tz[k]
    _ball_share(n, radius, rho, share)
    keep = np.float32(1) - rho
    _project_row(px, a, b, tx, share, keep)
    _project_row(py, a, b, ty, share, keep)
    _project_row(pz, a, b, tz, share, keep)


@jit(**_OPTIONS)
def _strain_row(a, b, q, u, v, um, vm, hu, hv, t):
    """Dual ascent of one off-diagonal strain: half of (difference of v along u, of u along v); neighbours before."""
    for i in range(a, b):
        t[i - a] = q[i] + hu * (v[i] - v[i + um]) + hv * (u[i] - u[i + vm])


@jit(**_OPTIONS)
def _dual_q_row(a, b, xm, ym, w, q, sigma, h, radius, rho, t):
    wx, wy, wz = w
    qxx, qyy, qzz, qxy, qxz, qyz = q
    hx, hy, hz = sigma * h[0], sigma * h[1], sigma * h[2]
    txx, tyy, tzz, txy, txz, tyz, share = t[0], t[1], t[2], t[3], t[4], t[5], t[6]
    for i in range(a, b):
        txx[i - a] = qxx[i] + hx * (wx[i] - wx[i + xm])
    for i in range(a, b):
        tyy[i - a] = qyy[i] + hy * (wy[i] - wy[i + ym])
    for i in range(a, b):
        tzz[i - a] = qzz[i] + hz * (wz[i] - wz[i - _ONE])
    half = np.float32(0.5)
    _strain_row(a, b, qxy, wx, wy, xm, ym, half * hx, half * hy, txy)
    _strain_row(a, b, qxz, wx, wz, xm, _BACK, half * hx, half * hz, txz)
    _strain_row(a, b, qyz, wy, wz, ym, _BACK, half * hy, half * hz, tyz)
    n = b - a
    for k in range(n):
        share[k] = txx[k] * txx[k] + tyy[k] * tyy[k] + tzz[k] * tzz[k]
    for k in range(n):
        share[k] += 2 * (txy[k] * txy[k] + txz[k] * txz[k] + tyz[k] * tyz[k])
    _ball_share(n, radius, rho, share)
    keep = np.float32(1) - rho
    _project_row(qxx, a, b, txx, share, keep)
    _project_row(qyy, a, b, tyy, share, keep)
    _project_row(qzz, a, b, tzz, share, keep)
    _project_row(qxy, a, b, txy, share, keep)
    _project_row(qxz, a, b, txz, share, keep)
    _project_row(qyz, a, b, tyz, share, keep)


@jit(**_OPTIONS)
def _dual_plane(x, bars, dual, data, narrow, inner, stencils, sigmas, radii, rho, t):
    """One step of eta (where the data constraint holds), of p and q (over the mask) in a plane."""
    chi, psi, wx, wy, wz = bars
    eta, px, py, pz, qxx, qyy, qzz, qxy, qxz, qyz = dual
    laplace, wave, h = stencils
    sigma_eta, sigma_p, sigma_q = sigmas
    start, stop, planes, _, neighbours = narrow
    start_eta, stop_eta, planes_eta, _, neighbours_eta = inner
    w, p, q = (wx, wy, wz), (px, py, pz), (qxx, qyy, qzz, qxy, qxz, qyz)
    wave_chi, laplace_psi = t[0], t[1]
    for row in range(planes[x], planes[x + 1]):
        a, b = start[row], stop[row]
        _dual_p_row(a, b, neighbours[row, 1], neighbours[row, 3], chi, w, p, sigma_p, h, radii[0], rho, t)
        _dual_q_row(a, b, neighbours[row, 0], neighbours[row, 2], w, q, sigma_q, h, radii[1], rho, t)
    for row in range(planes_eta[x], planes_eta[x + 1]):
        a, b = start_eta[row], stop_eta[row]
        rows = neighbours_eta[row]
        _wave_row(chi, a, b, rows, wave, wave_chi)
        _laplace_row(psi, a, b, rows, laplace, laplace_psi)
        for i in range(a, b):
            eta[i] += rho * sigma_eta * (wave_chi[i - a] - laplace_psi[i - a] - data[i])


@jit(parallel=True, **_OPTIONS)
def primal_ends(state, data, regions, slabs, stencils, steps, rho):
    """Primal step of the first and the last plane of each slab, which its neighbours need before they :func:`sweep`."""
    primal, bars, dual = state
    wide, narrow, _ = regions
    weights, taus = data[1], steps[0]
    for slab in numba.prange(slabs.size - 1):
        g = np.empty(wide[3], np.float32)
        first, last = slabs[slab], slabs[slab + 1] - 1
        _primal_plane(first, primal, bars, dual, wide, narrow, weights, stencils, taus, rho, g)
        if last > first:
            _primal_plane(last, primal, bars, dual, wide, narrow, weights, stencils, taus, rho, g)


@jit(parallel=True, **_OPTIONS)
def sweep(state, data, regions, slabs, stencils, steps, radii, rho):
    """Primal step of the other planes, and the dual step of all with the extrapolated primal fields.

    Both go through a slab together, the dual step one plane behind, so that it finds its fields in the cache.
    """
    primal, bars, dual = state
    wide, narrow, inner = regions
    laplacian, weights = data
    taus, sigmas = steps
    for slab in numba.prange(slabs.size - 1):
        t = np.empty((7, wide[3]), np.float32)
        first, last = slabs[slab], slabs[slab + 1] - 1
        for x in range(first, last + 1):
            if x + 1 < last:
                _primal_plane(x + 1, primal, bars, dual, wide, narrow, weights, stencils, taus, rho, t[0])
            _dual_plane(x, bars, dual, laplacian, narrow, inner, stencils, sigmas, radii, rho, t)


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


@jit(**_OPTIONS)
def _second_difference(phase, i, step, period):
    """Second difference from neighbour differences brought into half a ``period`` (0: plain differences)."""
    up = phase[i + step] - phase[i]
    down = phase[i - step] - phase[i]
    if period > 0:
        up -= period * np.rint(up / period)
        down -= period * np.rint(down / period)
    return up + down


@jit(**_OPTIONS)
def _product(phase, mask, i, a, b, period):
    """Product of the second differences along steps ``a`` and ``b``; 0 where a neighbour across is not known."""
    plus, minus = b + a, b - a
    if not (mask[i + plus] and mask[i - plus] and mask[i + minus] and mask[i - minus]):
        return np.float32(0)
    # Each difference is that of two neighbours, so that wrapped phase needs no other care.
    neighbours = _second_difference(phase, i + b, a, period) + _second_difference(phase, i - b, a, period)
    return neighbours - 2 * _second_difference(phase, i, a, period)


@jit(parallel=True, **_OPTIONS)
def wrapped_laplacian(phase, mask, spans, strides, along, across, period, out):
    """19-point Laplacian of a field or of phase with a ``period``; weights along x, y, z and across xy, xz, yz."""
    start, stop, pieces, _ = spans
    sx, sy = strides
    for piece in numba.prange(pieces.size - 1):
        for row in range(pieces[piece], pieces[piece + 1]):
            for i in range(start[row], stop[row]):
                out[i] = (
                    along[0] * _second_difference(phase, i, sx, period)
                    + along[1] * _second_difference(phase, i, sy, period)
                    + along[2] * _second_difference(phase, i, _ONE, period)
                    + across[0] * _product(phase, mask, i, sx, sy, period)
                    + across[1] * _product(phase, mask, i, sx, _ONE, period)
                    + across[2] * _product(phase, mask, i, sy, _ONE, period)
                )
