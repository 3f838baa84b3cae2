"""Source separation where tissue follows other laws than assumed: ``python -m benchmarks.separation``.

The phantom makes R2' by the law that one of the methods assumes, so that its scores there prove little. Here fibres
point in the directions of a smooth random field, and R2' = Dr (p + c n). In white matter c = ``isotropic`` +
``cylinders`` sin^2 of the angle between fibre and main field; elsewhere c = ``grey``. White matter has a susceptibility
anisotropy and uneven iron, its iron is scaled, and Dr is that of 3 T or 7 T. The published law takes theory for
cylinders in white matter and for paramagnetic spheres elsewhere, and no other relaxation (10.64898/2026.04.07.716972).
Field and R2' have little noise; the susceptibility is inverted from the local field by the default method.

Heads: the phantom's, and with ``--cosmos`` real susceptibility maps (``PREFIX_cosmos.nii.gz``, ppm, and
``PREFIX_mask.nii.gz``, 1 mm) that are split into sources: white matter is where the surroundings are diamagnetic; its
iron, and the diamagnetic part of the rest, have random fine structure.

Columns: XSIM (Gaussian window of 7 voxels, maps not referenced) of the paramagnetic and the diamagnetic map over the
brain. ``labels``: the share of white matter is given; ``angles``: the map of fibre angles as well.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.common import machine, parser, publish
from bids_app import qsm
from bids_app.derivatives.files import read_image
from bids_app.phantom import metrics, simulate, subjects
from bids_app.phantom.acquisition import Acquisition
from bids_app.phantom.forward import block_mean
from bids_app.phantom.sources import SourceModel
from bids_app.phantom.template import load_head
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.operators.smoothing import gaussian
from bids_app.qsm.separation.sources import R2PRIME_PER_PPM, SPHERES_PER_PPM_T, at_field

HEAD = ("head", "law", "iron", "T", "method", "XSIM paramagnetic", "XSIM diamagnetic")
WHITE_MATTER = 2  # among the phantom's tissues
FIELD_NOISE, RATE_NOISE = 0.0005, 0.2  # ppm, 1/s at 3 T
#: From the library's names of methods to the maps that are given beside field and R2'.
METHODS = ("closed_form", "apart", "r2star_qsm", "chi_separation", "white_matter")


@dataclass(frozen=True)
class Law:
    """How tissue relaxes: c = isotropic + cylinders sin^2 in white matter, ``grey`` elsewhere.

    ``coherence``: mm over which fibres keep their direction. ``iron``: whether white matter's iron relaxes.
    ``spheres``: Dr is that of the static dephasing limit instead of the measured one. ``is_diamagnetic``: the
    anisotropic part of the susceptibility belongs to the diamagnetic source.
    """

    isotropic: float
    cylinders: float
    coherence: float = 12.0
    anisotropy: float = 0.012
    uneven: float = 0.1
    grey: float = 1.0
    iron: bool = True
    spheres: bool = False
    is_diamagnetic: bool = False


LAWS = {
    "cylinders of theory": Law(0.0, 1.24),
    "directions change fast": Law(0.0, 1.24, coherence=5.0),
    "weaker": Law(0.0, 0.8),
    "stronger": Law(0.0, 2.0),
    "much stronger": Law(0.0, 2.9),
    "half isotropic": Law(0.5, 0.75),
    "isotropic": Law(1.0, 0.0),
    "isotropic, stronger": Law(2.0, 0.0),
    "grey matter 0.8": Law(0.0, 1.24, grey=0.8),
    "grey matter 0.4": Law(0.0, 1.24, grey=0.4),
    "grey matter 0": Law(0.0, 1.24, grey=0.0),
    "published": Law(0.0, 1.2405, grey=0.0, iron=False, spheres=True, is_diamagnetic=True),
}
#: Laws that real anatomy and 7 T are tried with, and those for other amounts of iron in white matter.
FEW = ("cylinders of theory", "grey matter 0.4", "published")
WITH_IRON = ("cylinders of theory", "weaker", "isotropic, stronger", "grey matter 0.4")
IRON = (0.4, 1.8)


@dataclass(frozen=True)
class Head:
    """Sources p and n = |chi-| (ppm), R2 (1/s), share of white matter and mask on one grid."""

    grid: Grid
    mask: np.ndarray
    p: np.ndarray
    n: np.ndarray
    r2: np.ndarray
    white: np.ndarray
    name: str


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
    return Head(
        grid,
        mask,
        truth.sources.paramagnetic,
        -truth.sources.diamagnetic,
        truth.sources.r2,
        white,
        f"simulated, {voxel:g} mm",
    )


def texture(rng, shape, sigma):
    """Return smooth noise of unit standard deviation."""
    noise = ndimage.gaussian_filter(rng.standard_normal(shape, np.float32), sigma)
    return noise / noise.std()


def real_head(prefix, factor):
    """Return a real susceptibility map that is split into sources, in blocks of ``factor`` voxels along each axis."""
    chi, mask = (read_image(Path(f"{prefix}_{name}.nii.gz"))[0] for name in ("cosmos", "mask"))
    rng, inside = np.random.default_rng(0), mask > 0
    chi = np.where(inside, chi, 0).astype(np.float32)
    weight = ndimage.gaussian_filter(inside.astype(np.float32), 1.2)
    smooth = ndimage.gaussian_filter(chi, 1.2) / np.maximum(weight, 0.05)
    core = ndimage.binary_opening((smooth < -0.008) & ndimage.binary_erosion(inside, iterations=2))
    white = gaussian(core.astype(np.float32), (0.5,) * 3) * inside
    fine, coarse = texture(rng, chi.shape, 1.0), texture(rng, chi.shape, 6.0)
    iron = 0.006 * (1 + 0.25 * texture(rng, chi.shape, 1.0))
    # Iron-rich nuclei hold half of the diamagnetic matter of cortex.
    n = np.where(smooth > 0.05, 0.5, 1) * 0.019 * (1 + 0.25 * fine + 0.2 * coarse)
    n = white * np.maximum(iron - chi, 0.004) + (1 - white) * np.maximum(n, 0.002 - np.minimum(chi, 0))
    p = white * iron + (1 - white) * np.maximum(chi + n, 0)
    trim = tuple(slice(0, size // factor * factor) for size in chi.shape)
    maps = [block_mean(np.ascontiguousarray((m * inside)[trim], np.float32), (factor,) * 3) for m in (p, n, white)]
    whole = block_mean(np.ascontiguousarray(inside[trim], np.float32), (factor,) * 3) > 0.5
    p, n, white = (m * whole for m in maps)
    name = f"COSMOS {Path(prefix).name}, {factor:g} mm"
    return Head(Grid(whole.shape, (float(factor),) * 3), whole, p, n, 15 * whole, white, name)


def measured(head, law, iron, tesla, seed=1):
    """Return what a separation gets, the fibre angles, and the sources: p and n in ppm."""
    rng, size = np.random.default_rng(seed), head.grid.voxel_size
    sigma = [law.coherence / mm for mm in size]
    fibres = [ndimage.gaussian_filter(rng.standard_normal(head.mask.shape, np.float32), sigma) for _ in range(3)]
    along = sum(f * np.float32(b) for f, b in zip(fibres, head.grid.b0_dir, strict=True))
    cos2 = along**2 / sum(f**2 for f in fibres)
    uneven = ndimage.gaussian_filter(rng.standard_normal(head.mask.shape, np.float32), 2.0)
    uneven *= np.float32(law.uneven / uneven.std())
    p = np.maximum(head.p * (1 + head.white * (iron - 1)) * (1 + head.white * uneven), 0) * head.mask
    ratio = law.grey + head.white * (law.isotropic + law.cylinders * (1 - cos2) - law.grey)
    relaxivity = SPHERES_PER_PPM_T * tesla if law.spheres else at_field(R2PRIME_PER_PPM, tesla)
    anisotropic = np.float32(law.anisotropy) * head.white * (cos2 - np.float32(1 / 3))
    n = np.maximum(head.n - anisotropic, 0) if law.is_diamagnetic else head.n
    chi = p - n if law.is_diamagnetic else p - n + anisotropic
    field = forward_field((chi * head.mask).astype(np.float32), head.grid)
    field = (field + np.float32(FIELD_NOISE) * rng.standard_normal(field.shape, np.float32)) * head.mask
    noise = np.float32(RATE_NOISE * tesla / 3) * rng.standard_normal(field.shape, np.float32)
    relaxing = p if law.iron else p * (1 - head.white)
    rate = (np.maximum(relaxivity * (relaxing + ratio * n) + noise, 0) * head.mask).astype(np.float32)
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
    return data, angle, p, n


def rows_of(head, name, iron, tesla, methods):
    """Return the rows of one law: each method, and those that maps of white matter help with them."""
    data, angle, p, n = measured(head, LAWS[name], iron, tesla)
    given = {"": data, ", labels": replace(data, white_matter=head.white)}
    given[", angles"] = replace(data, white_matter=head.white, fibre_angle=angle)
    rows = []
    for method in methods:
        for more, maps in given.items() if method == "white_matter" else [("", data)]:
            sources = qsm.SEPARATION[method](maps)
            pairs = ((sources.paramagnetic, p), (sources.diamagnetic, -n))
            scores = [f"{metrics.xsim(map_, true, head.mask, reference=False):.3f}" for map_, true in pairs]
            rows.append((head.name, name, f"{iron:g}", f"{tesla:g}", method + more, *scores))
    return rows


def cases_of(number):
    """Yield law, iron and field strength of a head by its number; the first is tried with all."""
    if number == 0:
        yield from ((name, 1.0, 3.0) for name in LAWS)
        yield from ((name, iron, 3.0) for iron in IRON for name in WITH_IRON)
    else:
        yield from ((name, 1.0, 3.0) for name in FEW)
    yield from ((name, 1.0, 7.0) for name in FEW)


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--voxel-size", type=float, default=2.0, help="mm")
    options.add_argument("--cosmos", nargs="*", default=[], metavar="PREFIX", help="real susceptibility maps, 1 mm")
    args = options.parse_args(argv)
    heads = [head_of(6.0 if args.quick else args.voxel_size)]
    heads += [real_head(prefix, round(args.voxel_size)) for prefix in args.cosmos]
    methods = [name for name in METHODS if not args.only or name in args.only]
    for number, head in enumerate(heads):
        for case in list(cases_of(number))[: 1 if args.quick else None]:
            rows = rows_of(head, *case, methods)
            for row in rows:
                print(*row, sep="\t", flush=True)
            publish(args, "separation", machine(), HEAD, rows, 5)


if __name__ == "__main__":
    main()
