"""The signature that the functions of each family share."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.grid import Grid
from bids_app.qsm.params import Params
from bids_app.qsm.results import CorrectedDecay, FieldFit, OffsetResult, Relaxation, Sources, SpinEchoFit, Swi

if TYPE_CHECKING:  # the family's own checks of its input
    from bids_app.qsm.separation.sources import SeparationData

#: Called by long solvers as ``progress(done, total)``.
Progress = Callable[[int, int], None]
#: What an inversion or a separation chose from the data and did, by name; methods add to it.
Info = dict[str, object]
P_contra = TypeVar("P_contra", bound=Params, contravariant=True)


class OffsetFunction(Protocol[P_contra]):
    """Removes the phase at echo time zero: phase and magnitude ``[echo, x, y, z]``, echo times in s."""

    def __call__(
        self,
        phase: FloatArray,
        magnitude: FloatArray | None,
        echo_times: Sequence[float],
        mask: BoolArray | None,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
    ) -> OffsetResult:
        """Remove the phase at echo time zero."""
        ...


class UnwrapFunction(Protocol[P_contra]):
    """Unwraps phase in rad, ``[x, y, z]`` or ``[echo, x, y, z]``; the result has the same shape."""

    def __call__(
        self,
        phase: FloatArray,
        mask: BoolArray | None = ...,
        grid: Grid | None = ...,
        /,
        *,
        magnitude: FloatArray | None = ...,
        echo_times: Sequence[float] | None = ...,
        params: P_contra = ...,
        progress: Progress | None = ...,
    ) -> FloatArray:
        """Unwrap the phase."""
        ...


class FieldFitFunction(Protocol[P_contra]):
    """Fits the total field to unwrapped phase ``[echo, x, y, z]`` in rad."""

    def __call__(
        self,
        unwrapped: FloatArray,
        magnitude: FloatArray | None,
        echo_times: Sequence[float],
        mask: BoolArray,
        /,
        *,
        grid: Grid | None = ...,
        params: P_contra = ...,
    ) -> FieldFit:
        """Fit the field over the echoes."""
        ...


class BackgroundFunction(Protocol[P_contra]):
    """Removes the background from a total field in ppm; returns the local field and the mask where it is valid."""

    def __call__(
        self,
        total_field_ppm: FloatArray,
        mask: BoolArray,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
        weights: FloatArray | None = ...,
        progress: Progress | None = ...,
    ) -> tuple[FloatArray, BoolArray]:
        """Remove the background field."""
        ...


class InversionFunction(Protocol[P_contra]):
    """Inverts a field in ppm to susceptibility in ppm; ``info`` receives what the method chose and did."""

    def __call__(
        self,
        field_ppm: FloatArray,
        mask: BoolArray,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
        weights: FloatArray | None = ...,
        magnitude: FloatArray | None = ...,
        progress: Progress | None = ...,
        info: Info | None = ...,
    ) -> FloatArray:
        """Invert the field."""
        ...


class RelaxometryFunction(Protocol[P_contra]):
    """Fits R2* to the magnitude ``[echo, x, y, z]``; see :class:`~bids_app.qsm.results.Relaxation`."""

    def __call__(
        self,
        magnitude: FloatArray,
        echo_times: Sequence[float],
        mask: BoolArray,
        /,
        *,
        params: P_contra = ...,
        noise: float = ...,
    ) -> Relaxation:
        """Fit the decay."""
        ...


class SwiFunction(Protocol[P_contra]):
    """Makes susceptibility-weighted images from a field in Hz and a magnitude.

    Some methods need the echo time of the magnitude in s, or the susceptibility in ppm (``Method.needs``).
    """

    def __call__(
        self,
        field_hz: FloatArray,
        magnitude: FloatArray,
        mask: BoolArray,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
        echo_time: float | None = ...,
        chi_ppm: FloatArray | None = ...,
    ) -> Swi:
        """Make the images."""
        ...


class SpinEchoFunction(Protocol[P_contra]):
    """Fits R2 to the magnitude of spin echoes ``[echo, x, y, z]``; see :class:`~bids_app.qsm.results.SpinEchoFit`."""

    def __call__(
        self,
        magnitude: FloatArray,
        echo_times: Sequence[float],
        mask: BoolArray,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
        noise: float = ...,
    ) -> SpinEchoFit:
        """Fit R2."""
        ...


class GradientFunction(Protocol[P_contra]):
    """Fits R2* without the decay of field gradients; see :class:`~bids_app.qsm.results.CorrectedDecay`."""

    def __call__(
        self,
        magnitude: FloatArray,
        echo_times: Sequence[float],
        field_hz: FloatArray,
        mask: BoolArray,
        grid: Grid,
        /,
        *,
        params: P_contra = ...,
        noise: float = ...,
        slice_axis: int | None = ...,
    ) -> CorrectedDecay:
        """Fit R2*."""
        ...


class SeparationFunction(Protocol[P_contra]):
    """Separates susceptibility into its sources; ``info`` receives what the method chose and did."""

    def __call__(
        self,
        data: "SeparationData",
        /,
        *,
        params: P_contra = ...,
        progress: Progress | None = ...,
        info: Info | None = ...,
    ) -> Sources:
        """Separate the sources."""
        ...
