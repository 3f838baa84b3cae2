"""Where images hold any signal at all."""

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.mask import morphology
from bids_app.qsm.operators.smoothing import gaussian

#: Mean quality of pure noise: (several echoes, with magnitude) -> value, from simulation; its local mean hardly varies.
_NOISE_QUALITY = {(False, False): 0.11, (False, True): 0.05, (True, False): 0.025, (True, True): 0.013}


def signal_support(quality: FloatArray, several_echoes: bool, with_magnitude: bool) -> BoolArray:
    """Return where there is any signal at all, generously: the phase elsewhere is pure noise.

    Voxels whose quality, averaged over the neighbourhood, is above twice that of noise, gaps of three voxels closed,
    holes filled and two voxels more. A field that fills the field of view is kept whole.
    """
    local = gaussian(quality, (1.5, 1.5, 1.5))
    mask: BoolArray = local > 2.2 * _NOISE_QUALITY[several_echoes, with_magnitude]
    return morphology.dilate(morphology.fill_holes(morphology.closed(mask, 3)), 2)
