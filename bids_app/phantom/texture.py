"""Fine susceptibility within the brain, with the spectrum that living heads have."""

from collections.abc import Sequence

import numpy as np

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.spectra import frequencies
from bids_app.qsm.operators.fft import irfftn, rfftn

#: Frequency at which the texture has most power, cycles/mm.
PEAK = 0.06


def living_texture(shape: Sequence[int], voxel_size: Sequence[float], random: np.random.Generator) -> FloatArray:
    """Return random texture, without unit and about 1 in size.

    Its spectrum is what COSMOS of two living heads has above that of the phantom: it peaks near 0.06 cycles/mm and
    falls with the frequency to the power of 1.2.
    """
    grid = Grid(tuple(shape), tuple(voxel_size))  # type: ignore[arg-type]
    relative = np.sqrt(sum(a**2 for a in np.ix_(*frequencies(grid)))) / np.float32(PEAK)
    spectrum = rfftn(random.standard_normal(grid.shape, np.float32)) * relative / (1 + relative**2) ** 1.1
    texture = irfftn(spectrum.astype(np.complex64), grid.shape)
    texture /= np.float32(texture.std())
    return texture
