"""Total field to the local field of each pass: corrections of the field, boundary sources, background removal."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.background.boundary_sources import exclude_boundary_sources
from bids_app.qsm.field.alternation import Alternation, remove_alternation
from bids_app.qsm.field.reliability import reliability_weights
from bids_app.qsm.field.transceive import TransceivePhase, remove_transceive_phase
from bids_app.qsm.grid import Grid, checked_mask
from bids_app.qsm.mask.boundary import remove_unreliable_boundary
from bids_app.qsm.options import BackgroundChoices
from bids_app.qsm.params import Params
from bids_app.qsm.pipeline.arguments import Iterations, Parameters, parameters_of, registered
from bids_app.qsm.pipeline.boundary_sources import initial_estimate
from bids_app.qsm.pipeline.devices import device_label, device_notes, device_of
from bids_app.qsm.pipeline.echoes import EchoPhase
from bids_app.qsm.registry import BACKGROUND
from bids_app.qsm.signatures import Progress

#: Alternation above this ratio gives a warning: k-space that ends at the voxel size alone makes up to twice the noise.
_STRONG = 3.0


@dataclass(frozen=True)
class Pass:
    """The local field in one mask.

    Attributes
    ----------
    mask : bool, ``[x, y, z]``
        Mask of the pass.
    domain : bool, ``[x, y, z]``
        The mask without boundary sources that are inverted separately; the mask itself where there are none.
    fields : tuple of float32, ``[x, y, z]``
        Local field in ppm, one or one for each echo; empty where the inversion removes the background itself.
    valid : tuple of bool, ``[x, y, z]``
        Where it is valid, one or one for each echo.
    weights : float32, ``[x, y, z]``, or None
        Relative reliability of the field (None: every voxel counts the same).
    """

    mask: BoolArray
    domain: BoolArray
    fields: tuple[FloatArray, ...]
    valid: tuple[BoolArray, ...]
    weights: FloatArray | None = None

    @property
    def has_boundary_sources(self) -> bool:
        """Whether boundary sources are left out of the domain."""
        return self.domain is not self.mask and not np.array_equal(self.domain, self.mask)


@dataclass(frozen=True)
class LocalField:
    """Local field of every pass, and what was done to the total field.

    Attributes
    ----------
    passes : tuple of Pass
        One for each mask.
    total : float32, ``[x, y, z]``
        Total field in ppm after its corrections.
    boundary_sources : bool, ``[x, y, z]``
        Strong sources at the mask boundary that were left out of any pass.
    excess : 3 floats
        Power of the Nyquist-frequency alternation along each axis, over what it should be; nan where not estimated.
    transmit_phase : float
        Root mean square of the transmit and receive phase that was removed, in ppm.
    iterations : int or None
        Most iterations of the background method in any pass; None where it does not iterate.
    methods : tuple of str
        Names of the methods that ran.
    warnings : tuple of str
        What the user should look at, in sentences.
    device : str
        Where the method ran, if not on the processor.
    """

    passes: tuple[Pass, ...]
    total: FloatArray
    boundary_sources: BoolArray
    excess: tuple[float, float, float] = (float("nan"),) * 3
    transmit_phase: float = 0.0
    iterations: int | None = None
    methods: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    device: str = ""

    @property
    def field(self) -> FloatArray:
        """The local field in ppm of the first pass (of its first echo).

        Raises
        ------
        ValueError
            If no background field was removed.
        """
        if not self.passes[0].fields:
            raise ValueError("there is no local field: the method of the inversion removes the background itself")
        return self.passes[0].fields[0]

    @property
    def mask(self) -> BoolArray:
        """Where the local field of the first pass is valid."""
        return self.passes[0].valid[0]


def field_weights(
    sd: FloatArray | None, residual: FloatArray | None, masks: Sequence[BoolArray]
) -> tuple[FloatArray | None, ...]:
    """Return the weights of the field in each mask, None where its standard error is not known."""
    return tuple(None if sd is None else reliability_weights(sd, mask, residual) for mask in masks)


def local_field(
    total: FloatArray,
    masks: BoolArray | Sequence[BoolArray],
    grid: Grid,
    *,
    sd: FloatArray | None = None,
    residual: FloatArray | None = None,
    single_echo: bool = False,
    echoes: EchoPhase | None = None,
    options: BackgroundChoices = BackgroundChoices(),
    parameters: Mapping[str, Params] = {},
    progress: Progress | None = None,
) -> LocalField:
    r"""Remove the background field.

    The total field is the sum of that of sources inside and outside the mask, :math:`f = f_{in} + f_{out}`, with
    :math:`\nabla^2 f_{out} = 0` inside. Before :math:`f_{out}` is removed by ``options.method``,
    Nyquist-frequency alternation is removed, and the transmit/receive phase where there is one echo. Strong sources at
    the mask boundary are left out of the mask where ``options.boundary_sources`` says so.

    Parameters
    ----------
    total : float32, ``[x, y, z]``
        Total field in ppm (:meth:`Field.ppm`).
    masks : bool, ``[x, y, z]``, or sequence of them
        Mask of the object; with two passes also that of reliable voxels (:attr:`Masks.passes`).
    grid : Grid
        Sampling of the images.
    sd, residual : float32, ``[x, y, z]``, optional
        Standard error of the field and residual of its fit, from which weights follow; without them every voxel of a
        mask counts the same.
    single_echo : bool
        Whether the field is that of one echo, so that the transmit and receive phase is part of it.
    echoes : EchoPhase, optional
        Phase of every echo: each has its background removed by itself.
    options : BackgroundChoices
        Method and corrections.
    parameters : mapping of str to Params
        Parameters of the methods by their names, where they are not the defaults.
    progress : callable, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    LocalField
        Local field in ppm of each pass and where it is valid.

    Raises
    ------
    ValueError
        If shapes do not agree, or no voxel of a mask has weight.

    References
    ----------
    Consensus: Bilgic et al. 2024, 10.1002/mrm.30006.

    Examples
    --------
    >>> import numpy as np
    >>> from bids_app import qsm
    >>> grid = qsm.Grid((32, 32, 32))
    >>> x, y, z = np.meshgrid(*[np.linspace(-1, 1, 32, dtype=np.float32)] * 3, indexing="ij")
    >>> mask = x**2 + y**2 + z**2 < 0.7
    >>> options = qsm.BackgroundChoices(method="lbv")
    >>> local = qsm.local_field(0.3 * z, mask, grid, options=options)  # the field of a distant source
    >>> bool(np.abs(local.field).max() < 0.01)
    True
    """
    given = [masks] if isinstance(masks, np.ndarray) else list(masks)
    passes = [checked_mask(mask, grid, total_field=total, sd=sd, residual=residual) for mask in given]
    weights = field_weights(sd, residual, passes)
    alternation, transceive = _corrected(total, passes[0], grid, weights[0], options, single_echo)
    stage = _Removal(transceive.field, grid, echoes, options, parameters, progress)
    with device_of(options.device) as device:
        made = tuple(stage.run(mask, known) for mask, known in zip(passes, weights, strict=True))
    did = {
        "alternation": bool(alternation.axes),
        "transmit_receive_phase": transceive.removed > 0,
        options.method: options.method != "none",
    }
    return LocalField(
        made,
        transceive.field,
        stage.boundary_sources,
        alternation.excess,
        transceive.removed,
        stage.iterations.most,
        tuple(name for name, ran in did.items() if ran),
        _warnings(alternation) + (device_notes(stage.method, device) if stage.method else ()),
        device_label(stage.method, device) if stage.method else "",
    )


def _corrected(
    total: FloatArray,
    mask: BoolArray,
    grid: Grid,
    weights: FloatArray | None,
    options: BackgroundChoices,
    single_echo: bool,
) -> tuple[Alternation, TransceivePhase]:
    """Return the field without alternation, and that also without the transmit and receive phase of a single echo."""
    total = np.asarray(total, np.float32)
    keeps = options.alternation == "keep"
    alternation = Alternation(total) if keeps else remove_alternation(total, mask, weights=weights)
    if options.transmit_receive_phase == "keep" or not single_echo:
        return alternation, TransceivePhase(alternation.field, 0.0)
    return alternation, remove_transceive_phase(alternation.field, mask, grid, weights=weights)


def _warnings(alternation: Alternation) -> tuple[str, ...]:
    """Return the sentence for the user where much was removed from the field."""
    excess = alternation.excess
    axes = ", ".join(f"{'ijk'[a]} ({excess[a]:.1f} times)" for a in alternation.axes if excess[a] > _STRONG)
    if not axes:
        return ()
    return (
        f"the field alternates from voxel to voxel along {axes} more than noise or tissue do; that part was removed "
        "(background.alternation=keep leaves it). Air's edges or k-space cut off at the voxel size make it, or slices "
        "acquired in turn",
    )


class _Removal:
    """Background removal in one mask after the other."""

    def __init__(
        self,
        total: FloatArray,
        grid: Grid,
        echoes: EchoPhase | None,
        options: BackgroundChoices,
        parameters: Parameters,
        progress: Progress | None,
    ) -> None:
        self._total, self._grid, self._echoes, self._options = total, grid, echoes, options
        name = options.method
        self.method = None if name == "none" else registered("background method", name, BACKGROUND)
        self._params = parameters_of(name, self.method.params(), parameters) if self.method else Params()
        iterates = hasattr(self._params, "iterations")
        self.boundary_sources: BoolArray = np.zeros(grid.shape, bool)
        self.iterations = Iterations(progress, iterates)
        if echoes is not None and self.method is not None and not echoes.counted:
            raise ValueError(
                "background removal of each echo needs its integer ambiguities: unwrap along paths (ROMEO), or take an "
                "inversion that removes the background itself"
            )

    def run(self, mask: BoolArray, weights: FloatArray | None) -> Pass:
        """Return the local field in one mask."""
        domain = self._domain(mask, weights)
        if self.method is None:
            return Pass(mask, domain, (), (remove_unreliable_boundary(domain, weights),), weights)
        results = [
            self.method(
                total, domain, self._grid, weights=weights, progress=self.iterations.start(), params=self._params
            )
            for total in self._fields()
        ]
        return Pass(mask, domain, tuple(local for local, _ in results), tuple(valid for _, valid in results), weights)

    def _fields(self) -> Iterator[FloatArray]:
        if self._echoes is None:
            yield self._total
            return
        for place in range(len(self._echoes.echo_times)):
            yield self._echoes.data(place, self._total)[0]

    def _domain(self, mask: BoolArray, weights: FloatArray | None) -> BoolArray:
        """Return the mask without strong sources at its boundary, where they are inverted separately."""
        if self._options.boundary_sources == "keep":
            return mask
        estimate, valid = initial_estimate(self._total, mask, self._grid, weights)
        rest = exclude_boundary_sources(estimate, valid, self._grid)
        sources = valid & ~rest
        self.boundary_sources |= sources
        return rest if sources.any() else mask
