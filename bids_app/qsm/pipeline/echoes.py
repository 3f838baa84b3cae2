"""The phase of every echo, for inversions of each echo by itself."""

from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import FloatArray
from bids_app.qsm.inversion.tgv import phase_to_ppm
from bids_app.qsm.phase.scaling import wrap
from bids_app.qsm.pipeline.arguments import Volumes


@dataclass(frozen=True)
class EchoPhase:
    """Phase of every echo, for an inversion of each echo by itself.

    Attributes
    ----------
    phase : float32, ``[echo, x, y, z]``
        Wrapped phase in rad without offset (:attr:`CorrectedPhase.phase`), or what reads one echo at a time.
    echo_times : tuple of float
        Echo times in s.
    field_strength : float
        Main field in T.
    measured : float32, ``[x, y, z]``
        Total field in ppm that was fitted to these phases, without any correction.
    magnitude : float32, ``[echo, x, y, z]``, or None
        Magnitude of every echo, or what reads one at a time, for the weights of the average over echoes.
    counted : bool
        Whether the integer ambiguities (multiples of 2 pi) of the fitted field are right for every echo, as after
        unwrapping along paths; a Laplacian method counts none.
    """

    phase: Volumes
    echo_times: tuple[float, ...]
    field_strength: float
    measured: FloatArray
    magnitude: Volumes | None = None
    counted: bool = True

    def data(self, echo: int, corrected: FloatArray) -> tuple[FloatArray, dict[str, float]]:
        """Return the field of one echo in ppm; where ambiguities are not counted its phase, with what scales it.

        ``corrected`` is the total field in ppm after its corrections, which each echo gets too.
        """
        ppm = np.float32(phase_to_ppm(self.echo_times[echo], self.field_strength))  # of one radian
        if self.counted:
            return corrected + ppm * wrap(self.phase[echo] - self.measured / ppm), {}
        scale = {"echo_time": self.echo_times[echo], "field_strength": self.field_strength}
        return wrap(self.phase[echo] - (self.measured - corrected) / ppm), scale

    def weight(self, echo: int) -> FloatArray:
        """Return the weight of an echo's map, (magnitude x echo time)^2."""
        if self.magnitude is None:
            return np.full(self.measured.shape, np.square(np.float32(self.echo_times[echo])), np.float32)
        return np.square(np.nan_to_num(self.magnitude[echo]) * np.float32(self.echo_times[echo]))
