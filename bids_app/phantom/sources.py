"""Paramagnetic and diamagnetic sources: their relaxation, and the spin echoes that separate R2 from R2'."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bids_app.phantom import sampling
from bids_app.phantom.forward import block_mean
from bids_app.qsm.arrays import BoolArray, FloatArray
from bids_app.qsm.kernels import jit
from bids_app.qsm.relaxometry.epg import epg_signal

#: Nodes of the table of spin echoes: R2 in 1/s (logarithmic), refocusing angles in degrees.
_R2_NODES, _R2_RANGE = 64, (0.3, 400.0)
_ANGLE_NODES, _ANGLE_LOW = 37, 72.0


@dataclass(frozen=True)
class SourceModel:
    """How sources relax, and the multi-echo spin echo (times in s, angle in degrees, relaxivity in Hz/ppm at 3 T).

    R2' = Dr (p + c n), c = ``grey`` outside white matter and ``cylinders`` sin^2 of the fibre angle in it;
    R2* = R2 + R2'. Outside white matter, about half of what is diamagnetic is myelin of all directions, and the rest is
    so small that diffusion averages its field.
    ``anisotropy`` is the susceptibility of white matter along its fibres less that across them, in ppm.
    """

    relaxivity: float = 137.0
    cylinders: float = 1.2405
    grey: float = 0.4
    anisotropy: float = 0.016
    echo_times: tuple[float, ...] = tuple(round(0.010 * (n + 1), 4) for n in range(16))
    refocusing_angle: float = 155.0
    transmit_spread: float = 0.12
    snr: float = 80.0


@dataclass(frozen=True)
class SourceTruth:
    """What a separation should find, on the data's grid, zero outside the brain.

    ``paramagnetic`` and ``diamagnetic`` (negative) in ppm, ``r2`` and ``r2prime`` in 1/s, ``white_matter`` as a
    fraction, ``fibre_angle`` in rad.
    """

    paramagnetic: FloatArray
    diamagnetic: FloatArray
    r2: FloatArray
    r2prime: FloatArray
    white_matter: FloatArray
    fibre_angle: FloatArray

    @classmethod
    def empty(cls, shape: tuple[int, int, int]) -> "SourceTruth":
        """Return the truth with zeros, to be filled."""
        return cls(*(np.zeros(shape, np.float32) for _ in range(6)))

    def fill(
        self, rows: slice, properties: FloatArray, model: SourceModel, field_strength: float, factor: int
    ) -> FloatArray:
        """Write block means of some planes of the fine grid; return their R2* in 1/s."""
        p, n, r2prime = relaxation(properties, model, field_strength)
        white, cos2 = properties[..., sampling.MYELINATED], properties[..., sampling.COS2]
        r2 = properties[..., sampling.R2]
        blocks = {"paramagnetic": p, "diamagnetic": -n, "r2": r2, "r2prime": r2prime, "white_matter": white}
        for name, values in blocks.items():
            getattr(self, name)[rows] = block_mean(np.ascontiguousarray(values), (factor,) * 3)
        angle = np.arccos(np.sqrt(np.clip(block_mean(np.ascontiguousarray(cos2), (factor,) * 3), 0, 1)))
        self.fibre_angle[rows] = angle
        return np.ascontiguousarray(r2 + r2prime, np.float32)

    def within(self, mask: BoolArray) -> "SourceTruth":
        """Return the truth with zeros outside the brain."""
        return SourceTruth(*(np.where(mask, component, np.float32(0)) for component in vars(self).values()))


def relaxation(
    properties: FloatArray, model: SourceModel, field_strength: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return p = chi+ and n = |chi-| in ppm, and R2' in 1/s, of sampled properties; p - n is their susceptibility."""
    chi = properties[..., sampling.CHI] * (properties[..., sampling.BRAIN] >= 0.5)
    n = -np.minimum(properties[..., sampling.DIAMAGNETIC], np.minimum(chi, 0)) * (chi != 0)
    p = chi + n
    white = properties[..., sampling.MYELINATED]
    grey = np.float32(model.grey)
    ratio = grey + white * (np.float32(model.cylinders) * (1 - properties[..., sampling.COS2]) - grey)
    rate = np.float32(model.relaxivity * field_strength / 3)
    return p.astype(np.float32), n.astype(np.float32), (rate * (p + ratio * n)).astype(np.float32)


def signal_table(model: SourceModel) -> FloatArray:
    """Return the spin echoes ``[echo, angle, r2]`` over the nodes of angle and ln R2."""
    rates = np.exp(np.linspace(np.log(_R2_RANGE[0]), np.log(_R2_RANGE[1]), _R2_NODES))
    angles = np.linspace(_ANGLE_LOW, 180, _ANGLE_NODES)
    spacing, echoes = model.echo_times[0], len(model.echo_times)
    table = [[epg_signal(float(r), float(a), spacing, echoes) for r in rates] for a in angles]
    return np.ascontiguousarray(np.moveaxis(np.array(table, np.float32), -1, 0))


@jit
def _sum_rows(density, r2, angle, table, scale, factor, out):  # type: ignore[no-untyped-def]
    """Add the spin echoes of fine voxels into the data's voxels; ``angle`` [data voxel] in nodes of the table."""
    low, per_node = scale
    echoes, nx, ny, nz = out.shape
    nodes = table.shape[2]
    share = np.float32(1.0 / factor**3)
    for i in range(nx):
        for j in range(ny):
            for k in range(nz):
                at = min(max(angle[i, j, k], 0.0), table.shape[1] - 1.001)
                a = int(at)
                u = np.float32(at - a)
                for x in range(factor * i, factor * (i + 1)):
                    for y in range(factor * j, factor * (j + 1)):
                        for z in range(factor * k, factor * (k + 1)):
                            if density[x, y, z] <= 0:
                                continue
                            place = (np.log(max(r2[x, y, z], 1e-3)) - low) * per_node
                            place = min(max(place, 0.0), nodes - 1.001)
                            r = int(place)
                            v = np.float32(place - r)
                            m = density[x, y, z] * share
                            for e in range(echoes):
                                first = table[e, a, r] + v * (table[e, a, r + 1] - table[e, a, r])
                                second = table[e, a + 1, r] + v * (table[e, a + 1, r + 1] - table[e, a + 1, r])
                                out[e, i, j, k] += m * (first + u * (second - first))


def spin_echoes(
    slabs: Iterator[tuple[slice, FloatArray]],
    shape: tuple[int, int, int],
    model: SourceModel,
    factor: int,
    random: np.random.Generator,
) -> FloatArray:
    """Return the magnitude of the spin echoes ``[echo, x, y, z]``, with noise and a smooth transmit field.

    ``slabs`` gives planes of the fine grid (``factor`` per voxel) and their properties.
    """
    x, y, z = np.meshgrid(*[np.linspace(-1, 1, n, dtype=np.float32) for n in shape], indexing="ij", sparse=True)
    # The transmit field of a head: strongest in its middle.
    transmit = 1 + np.float32(model.transmit_spread) * (0.6 - (x**2 + y**2 + z**2)) + np.float32(0.04) * x * y
    angle = np.abs(180 - np.abs(180 - np.float32(model.refocusing_angle) * transmit))
    nodes = ((angle - _ANGLE_LOW) * ((_ANGLE_NODES - 1) / (180 - _ANGLE_LOW))).astype(np.float32)
    out, table = np.zeros((len(model.echo_times), *shape), np.float32), signal_table(model)
    low = float(np.log(_R2_RANGE[0]))
    scale = (low, (_R2_NODES - 1) / (float(np.log(_R2_RANGE[1])) - low))
    inside = np.zeros(shape, bool)
    for rows, properties in slabs:
        here = slice(rows.start // factor, rows.stop // factor)
        m0, r2 = (np.ascontiguousarray(properties[..., c]) for c in (sampling.M0, sampling.R2))
        part = np.zeros((len(out), here.stop - here.start, *shape[1:]), np.float32)
        _sum_rows(m0, r2, nodes[here], table, scale, factor, part)
        out[:, here] = part
        inside[here] = block_mean(np.ascontiguousarray(properties[..., sampling.BRAIN]), (factor,) * 3) > 0.5
    sigma = np.float32(float(out[0][inside].mean()) / model.snr)
    for echo in out:
        echo += sigma * random.standard_normal(shape, np.float32)
        np.hypot(echo, sigma * random.standard_normal(shape, np.float32), out=echo)
    return out


def moved(pose: npt.NDArray[np.float64], random: np.random.Generator) -> npt.NDArray[np.float64]:
    """Return the pose after the small motion between two scans of a session (degrees and mm of about one)."""
    from bids_app.phantom.shapes import rotation_matrix

    motion = np.eye(4)
    motion[:3, :3] = rotation_matrix(random.normal(0, 0.8, 3))
    motion[:3, 3] = random.normal(0, 0.8, 3)
    return motion @ pose
