"""The dipole response, convolution with it, and the field of a susceptibility distribution."""

import numpy as np
import scipy.fft

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.device import namespace, to_device
from bids_app.qsm.grid import Grid
from bids_app.qsm.kernels.dipole import fill_dipole
from bids_app.qsm.operators.crop import Crop
from bids_app.qsm.operators.fft import irfftn, irfftn_cropped, rfftn, rfftn_padded

Slices = tuple[slice, slice, slice]


def dipole_kernel(grid: Grid) -> FloatArray:
    """Compute the dipole response on the half grid of :func:`bids_app.qsm.operators.fft.rfftn`.

    D(k) = 1/3 - (k.b0)^2 / |k|^2 with D(0) = 0, k in 1/mm, so that anisotropic voxels and oblique main fields are
    honoured.

    Parameters
    ----------
    grid : Grid
        Sampling and direction of the main field.

    Returns
    -------
    float32, ``(nx, ny, nz // 2 + 1)``
        Response without unit, -2/3 to 1/3.

    Notes
    -----
    At a Nyquist frequency +k and -k share a sample; the sign of the cross terms is ambiguous there. The mean over both
    signs is taken, which keeps the kernel even and the field of a real map real.

    References
    ----------
    Salomir et al. 2003, 10.1002/cmr.b.10083; Marques & Bowtell 2005, 10.1002/cmr.b.20034.

    Examples
    --------
    >>> kernel = dipole_kernel(Grid((4, 4, 4)))
    >>> [round(float(value), 3) for value in kernel[0, 0]]
    [0.0, -0.667, -0.667]
    """
    (nx, ny, nz), (dx, dy, dz), b0 = grid.shape, grid.voxel_size, grid.b0_dir
    axes = (scipy.fft.fftfreq(nx, dx), scipy.fft.fftfreq(ny, dy), scipy.fft.rfftfreq(nz, dz))
    # Along with each axis, the same frequencies without Nyquist: these enter the cross terms.
    odd = []
    for k, n, d in zip(axes, grid.shape, grid.voxel_size, strict=True):
        signed = k.copy()
        if n % 2 == 0:
            signed[np.isclose(np.abs(k), 0.5 / d)] = 0
        odd.append(signed)
    kernel = np.empty((nx, ny, nz // 2 + 1), np.float32)
    fill_dipole(axes, tuple(odd), tuple(float(b) for b in b0), kernel)
    kernel[0, 0, 0] = 0
    return kernel


class DipoleConvolution:
    """Field of a susceptibility map on a periodic grid, in the whole grid or in a box of it, and the adjoint.

    field = P F^-1 D F chi with D the dipole response of :func:`dipole_kernel` and P the restriction to the box; the
    adjoint is F^-1 D F P^T. On the whole grid the convolution is its own adjoint, since D is real and even.

    Parameters
    ----------
    grid : Grid
        Periodic grid of the sources.
    box : 3 slices, optional
        Box in which the field is wanted; it begins at the grid's first voxel.

    References
    ----------
    Salomir et al. 2003, 10.1002/cmr.b.10083; Marques & Bowtell 2005, 10.1002/cmr.b.20034.
    """

    def __init__(self, grid: Grid, box: Slices | None = None) -> None:
        self.grid, self.kernel, self._box = grid, dipole_kernel(grid), box

    def on_device(self) -> "DipoleConvolution":
        """Return the operator, which then takes arrays of the current device (:mod:`bids_app.qsm.device`)."""
        self.kernel = to_device(self.kernel)
        return self

    def field(self, chi: FloatArray) -> FloatArray:
        """Return the field (ppm, shape of the box) of a map in ppm, ``grid.shape``."""
        spectrum = rfftn(chi)
        spectrum *= self.kernel
        if self._box is None:
            return irfftn(spectrum, self.grid.shape)
        return irfftn_cropped(spectrum, self.grid.shape, self._box)

    def adjoint(self, field: FloatArray) -> FloatArray:
        """Return the adjoint applied to a field of the box's shape, ``grid.shape``."""
        if self._box is None:
            return self.field(field)
        spectrum = rfftn_padded(field, self.grid.shape)
        spectrum *= self.kernel
        return irfftn_cropped(spectrum, self.grid.shape, self._whole)

    def curvature(self, weight: FloatArray) -> FloatArray:
        """Return the diagonal of (adjoint) W^2 (field) for weights W of the box's shape, ``grid.shape``.

        It is the squared weight convolved with the square of the dipole response in space.
        """
        xp = namespace(weight)
        space = irfftn_cropped(xp.astype(self.kernel, xp.complex64), self.grid.shape, self._whole)
        spectrum = rfftn_padded(weight**2, self.grid.shape)
        spectrum *= rfftn(space**2)
        return xp.clip(irfftn_cropped(spectrum, self.grid.shape, self._whole), 0.0, None)

    @property
    def _whole(self) -> Slices:
        nx, ny, nz = self.grid.shape
        return slice(0, nx), slice(0, ny), slice(0, nz)


def forward_field(chi: FloatArray, grid: Grid, *, pad: bool = True) -> FloatArray:
    """Compute the field of a susceptibility map.

    field = F^-1 D F chi with the dipole response D. With ``pad`` the grid is doubled, so that the periodic copies of
    the object lie a whole field of view away; without, the field is that of the periodically continued map.

    Parameters
    ----------
    chi : float32, ``grid.shape``
        Susceptibility in ppm.
    grid : Grid
        Sampling; anisotropic voxels and oblique main fields are honoured.
    pad : bool
        Whether to double the grid.

    Returns
    -------
    float32, ``grid.shape``
        Field in ppm of B0.

    Raises
    ------
    ValueError
        If the shapes differ.

    References
    ----------
    Salomir et al. 2003, 10.1002/cmr.b.10083; Marques & Bowtell 2005, 10.1002/cmr.b.20034.

    Examples
    --------
    The field at the pole of a small sphere is positive, at its equator negative, and inside it nearly zero:

    >>> import numpy as np
    >>> grid = Grid((32, 32, 32))
    >>> x, y, z = np.indices(grid.shape) - 16
    >>> field = forward_field((x**2 + y**2 + z**2 <= 16).astype(np.float32), grid)
    >>> bool(field[16, 16, 22] > 0 > field[22, 16, 16]), bool(abs(field[16, 16, 16]) < 0.02)
    (True, True)
    """
    if chi.shape != grid.shape:
        raise ValueError(f"chi has shape {chi.shape}, the grid {grid.shape}")
    if not pad:
        return DipoleConvolution(grid).field(np.asarray(chi, np.float32))
    nx, ny, nz = (scipy.fft.next_fast_len(2 * n, real=True) for n in grid.shape)
    large = Grid((nx, ny, nz), grid.voxel_size, grid.b0_dir)
    padded = np.zeros(large.shape, np.float32)
    inner = tuple(slice(0, n) for n in grid.shape)
    padded[inner] = chi
    return np.ascontiguousarray(DipoleConvolution(large).field(padded)[inner])


def field_in_box(chi: FloatArray, mask: BoolArray, grid: Grid, padding_mm: float) -> FloatArray:
    """Compute the field of a susceptibility map in the box of a mask, which holds its sources; zero elsewhere.

    Parameters
    ----------
    chi : float32, ``grid.shape``
        Susceptibility in ppm.
    mask : bool, ``grid.shape``
        Object; what lies outside its box does not count.
    grid : Grid
        Sampling.
    padding_mm : float
        Empty space around the box in mm, so that the periodic copies of the map are that far away.

    Returns
    -------
    float32, ``grid.shape``
        Field in ppm.
    """
    crop = Crop.around(mask, grid, padding_mm)
    return crop.put(forward_field(crop.take(chi), crop.grid, pad=False), grid.shape)
