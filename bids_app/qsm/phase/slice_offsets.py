"""Phase offsets of single slices, as multi-slice (2D) acquisitions have them.

Every slice of a 2D acquisition is excited on its own and may have an offset of its own, the same in all echoes.
The phase that comes from the field grows with the echo time, so that the step from slice to slice at echo time 0 is the
offsets' difference alone.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from bids_app.qsm.arrays import FloatArray

Array = npt.NDArray[np.float64]

#: Mean resultant length of the steps from slice to slice: one volume is near 1, slices of their own are near 0.
_ROUGH = 0.7
#: The same where the header says that the acquisition is 2D.
_ROUGH_2D = 0.9
#: The same with a single echo, whose steps hold those of the field too: a volume stays above, also at long echo times.
_ROUGH_SINGLE = 0.6
#: Steps beyond this angle (rad) at nearly all slices are an alternating sign, which is no offset of its own.
_ALTERNATING, _NEARLY_ALL = 2.6, 0.8
#: Voxels that the steps are estimated from: every so many along the axes within the slice.
_STRIDE = 2


def slice_steps(
    phase: FloatArray, magnitude: FloatArray | None, echo_times: Sequence[float], axis: int = 2
) -> tuple[Array, Array]:
    r"""Return the phase step from each slice to the next at echo time 0.

    With the signal :math:`S_e(k)` of echo e in slice k, summed over the voxels of a slice,

    .. math:: o(k) = \arg \sum |S_1(k)| |S_1(k+1)| \exp i (d_1 - \frac{TE_1}{TE_2 - TE_1} d_{12})

    where :math:`d_1` is the step of the first echo and :math:`d_{12}` that of the phase from echo 1 to echo 2, both
    wrapped to (-pi, pi]. With one echo the field's own step remains in it.

    Parameters
    ----------
    phase : array, shape (echoes, x, y, z)
        Phase in rad.
    magnitude : array, shape (echoes, x, y, z), optional
        Weights.
    echo_times : sequence of float
        Echo times in s.
    axis : int
        Axis of the volume along which slices lie.

    Returns
    -------
    steps, weights : array, shape (slices - 1,)
        Steps in rad, 0 where there is no signal, and the coherent signal that they come from.

    Examples
    --------
    >>> import numpy as np
    >>> offsets = np.array([0.0, 2.0, -1.0, 1.0])
    >>> phase = np.broadcast_to(offsets.astype(np.float32), (2, 4, 4, 4))
    >>> slice_steps(phase, None, (0.01, 0.02))[0].round(2)
    array([ 2., -3.,  2.])
    """
    across = [a for a in range(3) if a != axis]
    thin = tuple(slice(None, None, _STRIDE) if a in across else slice(None) for a in range(3))
    first = np.moveaxis(phase[0][thin], axis, 0)
    weight = np.ones_like(first) if magnitude is None else np.moveaxis(magnitude[0][thin], axis, 0)
    step = first[1:] - first[:-1]
    if len(echo_times) > 1:
        between = np.moveaxis(phase[1][thin], axis, 0) - first
        field = np.angle(np.exp(1j * (between[1:] - between[:-1])))
        step = step - echo_times[0] / (echo_times[1] - echo_times[0]) * field
    sums = np.sum(weight[1:] * weight[:-1] * np.exp(1j * step), axis=(1, 2), dtype=np.complex128)
    return np.where(np.abs(sums) > 0, np.angle(sums), 0.0), np.abs(sums)


def has_own_offsets(steps: Array, weights: Array | None = None, is_2d: bool = False, single_echo: bool = False) -> bool:
    """Return whether steps from slice to slice are those of slices with offsets of their own.

    A volume has nearly the same step everywhere; an alternating sign, pi everywhere, is another matter. With a
    single echo the steps are those of the field too, so that they must differ more.

    Examples
    --------
    >>> import numpy as np
    >>> has_own_offsets(np.array([0.1, 0.2, 0.1])), has_own_offsets(np.array([2.0, -3.0, 1.0, 0.5]))
    (False, True)
    """
    if steps.size < 2:
        return False
    if np.mean(np.abs(steps) > _ALTERNATING) > _NEARLY_ALL:
        return False
    if weights is not None and not weights.any():
        return False
    resultant = abs(np.average(np.exp(1j * steps), weights=weights))
    rough = _ROUGH_SINGLE if single_echo else _ROUGH_2D if is_2d else _ROUGH
    return bool(resultant < rough)


def remove_slice_offsets(phase: FloatArray, steps: Array, axis: int = 2) -> None:
    """Remove from every slice, in place, the sum of the steps before it; the phase stays within (-pi, pi].

    Examples
    --------
    >>> import numpy as np
    >>> phase = np.zeros((1, 2, 2, 3), np.float32) + np.array([0, 1, 3], np.float32)
    >>> remove_slice_offsets(phase, np.array([1.0, 2.0]))
    >>> float(np.abs(phase).max())
    0.0
    """
    offsets = np.concatenate([[0.0], np.cumsum(steps)])
    turn = np.float32(2 * np.pi)
    shape = [1, 1, 1]
    shape[axis] = -1
    for echo in phase:
        echo -= np.angle(np.exp(1j * offsets)).astype(np.float32).reshape(shape)
        echo -= turn * np.rint(echo / turn)
