"""The same methods as anybody would write them in numpy and scipy: whole arrays, double loops of none, no kernels.

Written from the same papers with the same parameters, in float32 and with scipy's threads in the transforms, to show
what the kernels are worth. Each is called ``f(field_ppm, mask, grid, progress=None)``, the iterative ones with
``iterations`` as well.
"""

import numpy as np
import scipy.fft
from scipy import ndimage

from bids_app.qsm.operators.dipole import dipole_kernel


def _fft(array):
    return scipy.fft.rfftn(array)


def _ifft(spectrum, shape):
    return scipy.fft.irfftn(spectrum, s=shape)


def _gradient(chi):
    return np.stack([np.roll(chi, -1, axis) - chi for axis in range(3)])


def _adjoint(p):
    return sum(np.roll(p[axis], 1, axis) - p[axis] for axis in range(3))


def _laplacian_spectrum(shape):
    axes = [2 - 2 * np.cos(2 * np.pi * np.arange(n) / n) for n in shape]
    axes[2] = axes[2][: shape[2] // 2 + 1]
    axes = [a.astype(np.float32) for a in axes]
    return axes[0][:, None, None] + axes[1][None, :, None] + axes[2][None, None, :]


def vsharp(field, mask, grid, progress=None):
    distance = np.sqrt(sum(np.square(o) for o in np.meshgrid(*[_offsets(n) for n in mask.shape], indexing="ij")))
    result, done, deconvolution = np.zeros_like(field), np.zeros_like(mask), None
    spectrum, inside = _fft(field * mask), _fft(mask.astype(np.float32))
    for radius in range(12, 0, -1):
        ball = (distance <= radius).astype(np.float32)
        kernel = _fft(ball / ball.sum())
        fits = (_ifft(inside * kernel, mask.shape) > 1 - 1e-4) & mask & ~done
        if fits.any():
            deconvolution = 1 - kernel if deconvolution is None else deconvolution
            result[fits] = (field - _ifft(spectrum * kernel, mask.shape))[fits]
            done |= fits
    if deconvolution is None:
        return result
    safe = np.where(np.abs(deconvolution) > 0.05, deconvolution, np.inf)
    return _ifft(_fft(result) / safe, mask.shape) * done


def _offsets(n):
    return np.minimum(np.arange(n), n - np.arange(n))


def pdf(field, mask, grid, progress=None, iterations=60):
    kernel = dipole_kernel(grid)
    outside = ~mask
    source, residual = np.zeros_like(field), field * mask
    gradient = outside * _ifft(_fft(residual) * kernel, mask.shape)
    direction, norm = gradient.copy(), np.vdot(gradient, gradient)
    for step in range(iterations):
        image = mask * _ifft(_fft(direction) * kernel, mask.shape)
        length = np.float32(norm / max(np.vdot(image, image), 1e-30))
        source += length * direction
        residual -= length * image
        gradient = outside * _ifft(_fft(residual) * kernel, mask.shape)
        norm, old = np.vdot(gradient, gradient), norm
        direction = gradient + np.float32(norm / old) * direction
        if progress is not None:
            progress(step + 1, iterations)
    return residual


def _admm(field, mask, grid, data, iterations, progress, rho, threshold):
    chi, dual = np.zeros_like(field), np.zeros((3, *field.shape), np.float32)
    weight, fixed = data
    rho, threshold = np.float32(rho), np.float32(threshold)
    denominator = weight + rho * _laplacian_spectrum(mask.shape)
    denominator[0, 0, 0] = 1
    for step in range(iterations):
        total = _gradient(chi) + dual
        shrunk = np.sign(total) * np.maximum(np.abs(total) - threshold, 0)
        dual = total - shrunk
        chi = _ifft((fixed + rho * _fft(_adjoint(shrunk - dual))) / denominator, mask.shape)
        if progress is not None:
            progress(step + 1, iterations)
    return chi * mask


def tv(field, mask, grid, progress=None, iterations=100, weight=2e-4):
    kernel = dipole_kernel(grid)
    data = kernel**2, kernel * _fft(field * mask)
    return _admm(field, mask, grid, data, iterations, progress, 100 * weight, 0.01)


def rts(field, mask, grid, progress=None, iterations=20):
    kernel = dipole_kernel(grid)
    safe = np.where(np.abs(kernel) > 0.15, kernel, np.float32(np.inf))
    well = np.float32(1e5) * (np.abs(kernel) > 0.15)
    return _admm(field, mask, grid, (well, well * _fft(field * mask) / safe), iterations, progress, 10.0, 0.1)


def _second(u, axis):
    return np.roll(u, 1, axis) + np.roll(u, -1, axis) - 2 * u


def _laplace(u):
    return sum(_second(u, axis) for axis in range(3))


def _wave(u, b0):
    out = _laplace(u) / 3
    central = [(np.roll(u, -1, a) - np.roll(u, 1, a)) / 2 for a in range(3)]
    for a in range(3):
        out -= b0[a] ** 2 * _second(u, a)
        for b in range(a + 1, 3):
            out -= 2 * b0[a] * b0[b] * (np.roll(central[a], -1, b) - np.roll(central[a], 1, b)) / 2
    return out


def _strain(w):
    d = [[w[j] - np.roll(w[j], 1, i) for j in range(3)] for i in range(3)]
    pairs = ((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))
    return np.stack([(d[i][j] + d[j][i]) / 2 for i, j in pairs])


def _strain_adjoint(q):
    full = ((0, 3, 4), (3, 1, 5), (4, 5, 2))
    return np.stack([sum(q[full[j][i]] - np.roll(q[full[j][i]], -1, i) for i in range(3)) for j in range(3)])


def tgv(field, mask, grid, progress=None, iterations=1000):
    """One step size for all, as first published."""
    inner, step = ndimage.binary_erosion(mask), np.float32(1 / 16)
    data, b0 = _laplace(field) * inner, grid.b0_dir
    chi, psi, eta = (np.zeros_like(field) for _ in range(3))
    w, p, q = (np.zeros((n, *field.shape), np.float32) for n in (3, 3, 6))
    chi_bar, psi_bar, w_bar = chi, psi, w
    twice = np.array([1, 1, 1, 2, 2, 2], np.float32)[:, None, None, None]
    for number in range(iterations):
        eta = eta + step * inner * (_wave(chi_bar, b0) - _laplace(psi_bar) - data)
        p = p + step * mask * (_gradient(chi_bar) - w_bar)
        p /= np.maximum(1, np.sqrt((p**2).sum(0)) / 1e-3)
        q = q + step * mask * _strain(w_bar)
        q /= np.maximum(1, np.sqrt((twice * q**2).sum(0)) / 2e-3)
        new_chi = chi - step * (_wave(eta, b0) + _adjoint(p))
        new_psi = (psi + step * _laplace(eta)) / (1 + step * mask)
        new_w = w - step * (_strain_adjoint(q) - p)
        chi_bar, psi_bar, w_bar = 2 * new_chi - chi, 2 * new_psi - psi, 2 * new_w - w
        chi, psi, w = new_chi, new_psi, new_w
        if progress is not None:
            progress(number + 1, iterations)
    return chi * mask


METHODS = {"vsharp": vsharp, "pdf": pdf, "rts": rts, "tv": tv, "tgv": tgv}
#: Those that take the total field.
TAKE_TOTAL = {"vsharp", "pdf"}
#: Iterations that are timed of the slow ones; the rest is reckoned from the time between two of them.
TIMED = {"pdf": 10, "rts": 5, "tv": 5, "tgv": 5}
