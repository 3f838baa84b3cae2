"""Source separation on heads whose white matter follows other laws than ours: ``python -m benchmarks.separation``.

The phantom makes R2' by the law that one of the methods assumes, so that its scores there prove little. Here the
anatomy and the sources are the phantom's, and all else is new: fibres point in the directions of a smooth random field,
R2' = Dr (p + c n) with c = ``isotropic`` + ``cylinders`` sin^2 of the angle between fibre and main field, white matter
has a susceptibility anisotropy and uneven iron, its iron is scaled, and Dr is that of 3 T or 7 T. Field and R2' have
little noise; the susceptibility is inverted from the local field by the default method.

Columns: XSIM (Gaussian window of 7 voxels, maps not referenced) of the paramagnetic and the diamagnetic map over the
brain. ``labels``: the share of white matter is given; ``angles``: the map of fibre angles as well.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from benchmarks.common import machine, parser, publish
from bids_app import qsm
from bids_app.phantom import metrics, simulate, subjects
from bids_app.phantom.acquisition import Acquisition
from bids_app.phantom.sources import SourceModel
from bids_app.phantom.template import load_head
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.operators.smoothing import gaussian
from bids_app.qsm.separation.sources import R2PRIME_PER_PPM, at_field

HEAD = ("white matter", "iron", "T", "method", "XSIM paramagnetic", "XSIM diamagnetic")
WHITE_MATTER = 2  # among the phantom's tissues
FIELD_NOISE, RATE_NOISE = 0.0005, 0.2  # ppm, 1/s at 3 T
#: From the library's names of methods to the maps that are given beside field and R2'.
METHODS = ("closed_form", "apart", "r2star_qsm", "chi_separation", "white_matter")


@dataclass(frozen=True)
class Law:
    """How white matter relaxes: c = isotropic + cylinders sin^2; mm over which fibres keep their direction."""

    isotropic: float
    cylinders: float
    coherence: float = 12.0
    anisotropy: float = 0.012
    uneven: float = 0.1


LAWS = {
    "cylinders of theory": Law(0.0, 1.24),
    "directions change fast": Law(0.0, 1.24, coherence=5.0),
    "weaker": Law(0.0, 0.8),
    "stronger": Law(0.0, 2.0),
    "much stronger": Law(0.0, 2.9),
    "half isotropic": Law(0.5, 0.75),
    "isotropic": Law(1.0, 0.0),
    "isotropic, stronger": Law(2.0, 0.0),
}
#: Factors of white matter's iron at 3 T; 7 T has the first alone.
IRON = (1.0, 0.4, 1.8)


@dataclass(frozen=True)
class Head:
    """Sources p and n = |chi-| (ppm), R2 (1/s), share of white matter and mask on one grid."""

    grid: Grid
    mask: np.ndarray
    p: np.ndarray
    n: np.ndarray
    r2: np.ndarray
    white: np.ndarray


def head_of(voxel):
    """Return the sources of one simulated person."""
    person = subjects.people(1, 0)[0]
    scan = Acquisition(voxel_size=(voxel,) * 3, snr=np.inf, oversampling=2)
    table = subjects.tissue_table(
        person, age=person.age, field_strength=scan.field_strength, age_effect=1.0, group_effect=0.0
    )
    shaped = subjects.shape_head(person, load_head())
    body = simulate.make_body(person, shaped, table, age=person.age, session=0, tilt=(0.0, 0.0, 0.0))
    done = simulate.simulate(body, scan, person.random(6, 0), SourceModel())
    truth, mask = done.truth, done.truth.mask
    white = gaussian(((truth.tissue == WHITE_MATTER) & mask).astype(np.float32), (0.6,) * 3) * mask
    grid = Grid.from_affine(mask.shape, done.affine)
    return Head(grid, mask, truth.sources.paramagnetic, -truth.sources.diamagnetic, truth.sources.r2, white)


def measured(head, law, iron, tesla, seed=1):
    """Return what a separation gets, and the sources: p and n in ppm."""
    rng, size = np.random.default_rng(seed), head.grid.voxel_size
    sigma = [law.coherence / mm for mm in size]
    fibres = [ndimage.gaussian_filter(rng.standard_normal(head.mask.shape, np.float32), sigma) for _ in range(3)]
    along = sum(f * np.float32(b) for f, b in zip(fibres, head.grid.b0_dir, strict=True))
    cos2 = along**2 / sum(f**2 for f in fibres)
    uneven = ndimage.gaussian_filter(rng.standard_normal(head.mask.shape, np.float32), 2.0)
    uneven *= np.float32(law.uneven / uneven.std())
    p = np.maximum(head.p * (1 + head.white * (iron - 1)) * (1 + head.white * uneven), 0) * head.mask
    ratio = 1 + head.white * (law.isotropic + law.cylinders * (1 - cos2) - 1)
    relaxivity = at_field(R2PRIME_PER_PPM, tesla)
    chi = p - head.n + np.float32(law.anisotropy) * head.white * (cos2 - np.float32(1 / 3))
    field = forward_field((chi * head.mask).astype(np.float32), head.grid)
    field = (field + np.float32(FIELD_NOISE) * rng.standard_normal(field.shape, np.float32)) * head.mask
    noise = np.float32(RATE_NOISE * tesla / 3) * rng.standard_normal(field.shape, np.float32)
    rate = (np.maximum(relaxivity * (p + ratio * head.n) + noise, 0) * head.mask).astype(np.float32)
    angle = np.where(head.white > 0.05, np.arccos(np.sqrt(np.clip(cos2, 0, 1))), np.nan).astype(np.float32)
    data = qsm.SeparationData(
        head.grid,
        head.mask,
        tesla,
        local_field=field,
        chi=qsm.inversion.bayes(field, head.mask, head.grid),
        r2prime=rate,
        r2star=rate + head.r2,
    )
    return data, angle, p


def rows_of(head, name, iron, tesla, methods):
    """Return the rows of one law: each method, and those that maps of white matter help with them."""
    data, angle, p = measured(head, LAWS[name], iron, tesla)
    given = {"": data, ", labels": replace(data, white_matter=head.white)}
    given[", angles"] = replace(data, white_matter=head.white, fibre_angle=angle)
    rows = []
    for method in methods:
        for more, maps in given.items() if method == "white_matter" else [("", data)]:
            sources = qsm.SEPARATION[method](maps)
            pairs = ((sources.paramagnetic, p), (sources.diamagnetic, -head.n))
            scores = [f"{metrics.xsim(map_, true, head.mask, reference=False):.3f}" for map_, true in pairs]
            rows.append((name, f"{iron:g}", f"{tesla:g}", method + more, *scores))
    return rows


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--voxel-size", type=float, default=2.0, help="mm")
    args = options.parse_args(argv)
    head = head_of(6.0 if args.quick else args.voxel_size)
    methods = [name for name in METHODS if not args.only or name in args.only]
    cases = [(name, iron, 3.0) for iron in IRON for name in LAWS]
    cases += [(name, IRON[0], 7.0) for name in LAWS]
    for case in cases[: 1 if args.quick else None]:
        rows = rows_of(head, *case, methods)
        for row in rows:
            print(*row, sep="\t", flush=True)
        publish(args, "separation", machine(), HEAD, rows, 4)


if __name__ == "__main__":
    main()
