"""Local field to susceptibility: inversion of each pass, boundary sources, and the combination of two passes."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.boundary_sources import field_with_boundary_sources
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.combine import two_pass
from bids_app.qsm.options import InversionChoices
from bids_app.qsm.params import Params
from bids_app.qsm.pipeline.arguments import Iterations, Parameters, parameters_of, registered
from bids_app.qsm.pipeline.background import LocalField, Pass
from bids_app.qsm.pipeline.boundary_sources import add_boundary_sources
from bids_app.qsm.pipeline.devices import device_label, device_notes, device_of
from bids_app.qsm.pipeline.echoes import EchoPhase
from bids_app.qsm.registry import INVERSIONS, SINGLE_STEP
from bids_app.qsm.signatures import Info, Progress


@dataclass(frozen=True)
class Susceptibility:
    """Susceptibility in ppm, where it is valid, and what the inversion found in the data.

    Attributes
    ----------
    chi : float32, ``[x, y, z]``
        Susceptibility in ppm as inverted: its zero is arbitrary (:func:`reference` sets it); 0 outside the mask.
    mask : bool, ``[x, y, z]``
        Where it is valid.
    local_field : float32, ``[x, y, z]``, or None
        Local field in ppm of the first pass, boundary sources included; None where the inversion took the total one.
    single_chi : float32, ``[x, y, z]``
        Susceptibility of the first pass alone.
    single_mask : bool, ``[x, y, z]``
        Where the first pass is valid.
    info : mapping
        What the method chose from the data and did, by name.
    iterations : int or None
        Most iterations of any pass (and echo); None where the method does not iterate.
    methods : tuple of str
        Names of the methods that ran.
    warnings : tuple of str
        What the user should look at, in sentences.
    """

    chi: FloatArray
    mask: BoolArray
    local_field: FloatArray | None
    single_chi: FloatArray
    single_mask: BoolArray
    info: Mapping[str, object] = field(default_factory=dict)
    iterations: int | None = None
    methods: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def susceptibility(
    local: LocalField,
    grid: Grid,
    *,
    magnitude: FloatArray | None = None,
    echoes: EchoPhase | None = None,
    inside: BoolArray | None = None,
    options: InversionChoices = InversionChoices(),
    parameters: Mapping[str, Params] = {},
    progress: Progress | None = None,
) -> Susceptibility:
    r"""Invert the local field.

    The field of a susceptibility :math:`\chi` is :math:`f = D \chi`, in k-space
    :math:`D(k) = 1/3 - (k \cdot b)^2 / |k|^2` with the direction b of the main field. The chosen method solves for
    :math:`\chi` in every pass; boundary sources that background removal left out are estimated from what field the rest
    leaves; two passes are combined.

    Parameters
    ----------
    local : LocalField
        Local field of :func:`local_field`.
    grid : Grid
        Sampling of the images.
    magnitude : float32, ``[x, y, z]``, optional
        Combined magnitude, whose edges some methods use.
    echoes : EchoPhase, optional
        Phase of every echo, where each is inverted by itself; the local field must have been made with it.
    inside : bool, ``[x, y, z]``, optional
        Results are restricted to this mask, where the field was processed around it too.
    options : InversionChoices
        Method.
    parameters : mapping of str to Params
        Parameters of the method by its name, where they are not the defaults.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    Susceptibility
        Map in ppm and where it is valid.

    Raises
    ------
    ValueError
        If the method needs a local field and there is none, or it removes the background itself and that is done.

    References
    ----------
    Consensus: Bilgic et al. 2024, 10.1002/mrm.30006. Two passes: Stewart et al. 2022, 10.1002/mrm.29048.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app import qsm
    >>> from bids_app.qsm.operators.dipole import forward_field
    >>> grid = qsm.Grid((32, 32, 32))
    >>> x, y, z = np.meshgrid(*[np.linspace(-1, 1, 32, dtype=np.float32)] * 3, indexing="ij")
    >>> mask = x**2 + y**2 + z**2 < 0.7
    >>> true = (0.1 * (x**2 + y**2 + z**2 < 0.1)).astype(np.float32)
    >>> local = qsm.local_field(forward_field(true, grid), mask, grid, options=qsm.BackgroundChoices(method="lbv"))
    >>> maps = qsm.susceptibility(local, grid, options=qsm.InversionChoices(method="tikhonov"))
    >>> bool(np.corrcoef(maps.chi[maps.mask], true[maps.mask])[0, 1] > 0.9)
    True
    """
    _check(local, options.method)
    stage = _Inversion(local, grid, magnitude, echoes, options, parameters, progress)
    with device_of(options.device) as device:
        results = [_cut(stage.run(mask_pass), inside) for mask_pass in local.passes]
    if label := device_label(stage.method, device):
        stage.info["device"] = label
    single_field, single_mask, single_chi = results[0]
    chi, mask = single_chi, single_mask
    if len(results) > 1:
        _, second_mask, second_chi = results[1]
        chi, mask = two_pass(second_chi, second_mask, chi, mask), mask | second_mask
    did = {options.method: True, "boundary_sources": bool(local.boundary_sources.any()), "per_echo": echoes is not None}
    methods = tuple(name for name, ran in did.items() if ran)
    facts, notes = (stage.info, stage.iterations.most, methods), device_notes(stage.method, device)
    return Susceptibility(chi, mask, single_field, single_chi, single_mask, *facts, notes)


def _check(local: LocalField, method: str) -> None:
    if not isinstance(local, LocalField):
        raise TypeError(
            f"the local field must be a LocalField of local_field, got {type(local).__name__}; a method takes arrays: "
            f"qsm.inversion.{method}(field, mask, grid)"
        )
    removed, single = bool(local.passes[0].fields), method in SINGLE_STEP
    if single and removed:
        raise ValueError(f"{method} removes the background field itself: make the local field with method 'none'")
    if not single and not removed:
        raise ValueError(f"{method} needs a local field: choose a background method other than 'none'")


def _cut(
    result: tuple[FloatArray | None, BoolArray, FloatArray], inside: BoolArray | None
) -> tuple[FloatArray | None, BoolArray, FloatArray]:
    """Restrict local field, valid mask and map to a mask."""
    if inside is None:
        return result
    field_ppm, valid, chi = result
    return None if field_ppm is None else field_ppm * inside, valid & inside, chi * inside


class _Inversion:
    """Inversion of one pass after the other."""

    def __init__(
        self,
        local: LocalField,
        grid: Grid,
        magnitude: FloatArray | None,
        echoes: EchoPhase | None,
        options: InversionChoices,
        parameters: Parameters,
        progress: Progress | None,
    ) -> None:
        self._local, self._grid, self._magnitude, self._echoes = local, grid, magnitude, echoes
        self.method = registered("inversion", options.method, INVERSIONS)
        self._params = parameters_of(options.method, self.method.params(), parameters)
        self.iterations = Iterations(progress, hasattr(self._params, "iterations"))
        self.info: Info = {}

    def run(self, mask_pass: Pass) -> tuple[FloatArray | None, BoolArray, FloatArray]:
        """Return local field (None where the inversion takes the total one), valid mask and map of one pass."""
        if self._echoes is None:
            field_ppm = mask_pass.fields[0] if mask_pass.fields else None
            valid = mask_pass.valid[0]
            chi = self._invert(self._local.total if field_ppm is None else field_ppm, valid, mask_pass.weights)
        else:
            field_ppm, valid, chi = self._each_echo(self._echoes, mask_pass)
        if not mask_pass.has_boundary_sources:
            return field_ppm, valid, chi
        whole, known = add_boundary_sources(
            chi, valid, mask_pass.domain, self._local.total, mask_pass.mask, self._grid, mask_pass.weights
        )
        if field_ppm is not None:
            field_ppm = field_with_boundary_sources(field_ppm, valid, whole, known, self._grid)
        return field_ppm, known, whole

    def _invert(self, data: FloatArray, mask: BoolArray, weights: FloatArray | None, **scale: float) -> FloatArray:
        chi: FloatArray = self.method(
            data,
            mask,
            self._grid,
            weights=weights,
            magnitude=self._magnitude,
            progress=self.iterations.start(),
            info=self.info,
            params=self._params,
            **scale,
        )
        return chi

    def _each_echo(self, echoes: EchoPhase, mask_pass: Pass) -> tuple[FloatArray | None, BoolArray, FloatArray]:
        """Invert each echo; return local field, valid mask and map, averaged by (magnitude x echo time)^2."""
        valid: BoolArray = np.zeros(self._grid.shape, bool)
        chi, field_ppm, norm = (np.zeros(self._grid.shape, np.float32) for _ in range(3))
        for place in range(len(echoes.echo_times)):
            data, scale = (
                echoes.data(place, self._local.total) if not mask_pass.fields else (mask_pass.fields[place], {})
            )
            known = mask_pass.valid[place if mask_pass.fields else 0]
            weight = echoes.weight(place)
            chi += weight * self._invert(data, known, mask_pass.weights, **scale)
            if mask_pass.fields:
                field_ppm += weight * data
            norm += weight
            valid |= known
        for mean in (chi, field_ppm):
            np.divide(mean, norm, out=mean, where=norm > 0)
        return field_ppm if mask_pass.fields else None, valid, chi
