"""R2*, T2* and S0 of the echoes, by the chosen method or the one that the echo times allow."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bids_app.qsm.arrays import BoolArray, FloatArray, as_mask
from bids_app.qsm.options import RelaxometryChoices
from bids_app.qsm.params import Params
from bids_app.qsm.pipeline.arguments import parameters_of, registered
from bids_app.qsm.registry import RELAXOMETRY
from bids_app.qsm.relaxometry.arlo import arlo_applies
from bids_app.qsm.relaxometry.decay import noise_level
from bids_app.qsm.results import Relaxation


@dataclass(frozen=True)
class R2star:
    """Maps of the transverse relaxation.

    Attributes
    ----------
    r2star : float32, ``[x, y, z]``
        Rate in 1/s; 0 outside the mask.
    t2star : float32, ``[x, y, z]``
        Time in s, at most ``t2star_max`` of the method; 0 outside the mask and where there is no signal.
    s0 : float32, ``[x, y, z]``
        Magnitude at echo time 0.
    noise : float
        Standard deviation of the noise that was taken into account, in units of the magnitude; 0 where not known.
    method : str
        Method that ran.
    """

    r2star: FloatArray
    t2star: FloatArray
    s0: FloatArray
    noise: float
    method: str


def r2star(
    magnitude: FloatArray,
    echo_times: Sequence[float],
    mask: BoolArray,
    *,
    air: BoolArray | None = None,
    options: RelaxometryChoices = RelaxometryChoices(),
    parameters: Mapping[str, Params] = {},
) -> R2star:
    r"""Estimate R2*, T2* and S0 from the magnitude of the echoes.

    The model is :math:`S(t) = S_0 \exp(-R_2^* t)` in every voxel. ARLO needs three or more equally spaced echoes; other
    echo trains are fitted by the weighted log-linear fit.

    Parameters
    ----------
    magnitude : float32, ``[echo, x, y, z]``
        Magnitude.
    echo_times : sequence of float
        Echo times in s.
    mask : bool, ``[x, y, z]``
        Where to fit.
    air : bool, ``[x, y, z]``, optional
        Voxels without signal, which give the noise level.
    options : RelaxometryChoices
        Method.
    parameters : mapping of str to Params
        Parameters of the method by its name, where they are not the defaults.

    Returns
    -------
    R2star
        The maps, and the method that ran.

    Raises
    ------
    ValueError
        If shapes differ, there is one echo, or ``options.method`` is ``"none"``.

    References
    ----------
    ARLO: Pei et al. 2015, 10.1002/mrm.25137.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app import qsm
    >>> times = (0.004, 0.008, 0.012)
    >>> magnitude = np.stack([np.full((4, 4, 4), np.exp(-20 * t), np.float32) for t in times])
    >>> fit = qsm.r2star(magnitude, times, np.ones((4, 4, 4), bool))
    >>> round(float(fit.r2star.mean())), fit.method
    (20, 'arlo')
    """
    chosen = registered("R2* method", options.method, RELAXOMETRY)
    name = "loglinear" if options.method == "arlo" and not arlo_applies(echo_times) else options.method
    noise = 0.0 if air is None else noise_level(magnitude[-1], air)
    params = parameters_of(options.method, chosen.params(), parameters)
    maps = RELAXOMETRY[name](magnitude, echo_times, as_mask(mask), noise=noise, params=params)
    assert isinstance(maps, Relaxation)
    return R2star(maps.r2star, maps.t2star, maps.s0, noise, name)
