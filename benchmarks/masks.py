"""Which mask serves which region best: ``python -m benchmarks.masks``.

Simulated heads (3 mm and 2 mm) are reconstructed with every mask. Columns: how much of the true brain a mask loses and
how much it adds (% of the brain), and in each region the error of the map (root mean square, ppb; a voxel of the region
without a map counts with the susceptibility 0). Real heads follow. Of blocks of heads with COSMOS the local field and
the mask are known, and no echoes: their mask is eroded, and the error in one core and at the boundary is measured. Of a
Philips head (3 mm, short echoes) there is no truth: volume, and the spread of the map (ppb) in the core that all masks
share and at the boundary of each. The tables stand in ``docs/masks.md`` too, with a picture of the Philips head.
"""

import json
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import ndimage

from benchmarks.accuracy import clean_head
from benchmarks.common import README, ROOT, parser
from benchmarks.tables import write_table
from bids_app import qsm
from bids_app.derivatives.files import read_image
from bids_app.phantom import metrics
from bids_app.phantom.acquisition import Acquisition
from bids_app.phantom.sampling import TISSUE_LABELS
from bids_app.qsm.grid import Grid
from bids_app.qsm.mask.recipe import OBJECT_RECIPE, RELIABLE_RECIPE
from bids_app.qsm.phase.scaling import to_radians

PAGE, PICTURE = ROOT / "docs" / "masks.md", ROOT / "docs" / "_static" / "masks.png"
#: Masks by name: recipe, and whether reliable voxels are inverted separately (two passes).
MASKS = {
    "bet & quality (default)": (qsm.MaskChoices().filled, False),
    "bet": ("bet", False),
    "bet, erode:2": ("bet,erode:2", False),
    "quality": (OBJECT_RECIPE, False),
    "quality, two passes": (OBJECT_RECIPE, True),
    "bet & quality, two passes": (qsm.MaskChoices().filled, True),
    "reliable voxels alone": (RELIABLE_RECIPE, False),
    "magnitude, otsu": ("magnitude,even:10,otsu:1,open:1,largest,holes", False),
}
#: SNR of the brain in the first echo of the simulated scans, and their field strength (T).
SNR, TESLA = 60, 3.0
#: The boundary is what lies nearer than this to the outside of the brain, mm.
BOUNDARY_MM = 6.0
REGIONS = ("whole brain", "deep grey nuclei", "white matter", "cortex", "veins", "boundary (6 mm)", "lowest 40 mm")
HEAD = ("voxel", "mask", "lost %", "added %", *REGIONS)
BLOCKS = ("head", "mask eroded by", "core NRMSE %", "core XSIM", "boundary NRMSE %", "brain left %")
PHILIPS = ("mask", "volume ml", "core spread ppb", "boundary spread ppb", "boundary over core")


def regions_of(truth, grid):
    """Return regions of the simulated head by name, in the order of the table."""
    depth = ndimage.distance_transform_edt(truth.mask, sampling=grid.voxel_size)

    def tissue(word):
        numbers = [number for number, name in TISSUE_LABELS.items() if word in name]
        return np.isin(truth.tissue, numbers) & truth.mask

    edge = truth.mask & (depth <= BOUNDARY_MM)
    low = np.zeros_like(truth.mask)
    low[:, :, : int(np.flatnonzero(truth.mask.any(axis=(0, 1)))[0] + round(40 / grid.voxel_size[2]))] = True
    named = (truth.mask, truth.nuclei > 0, tissue("white"), tissue("cortical"), tissue("vein"), edge, truth.mask & low)
    return dict(zip(REGIONS, named, strict=True))


def phantom_rows(size, masks):
    """Yield a row of every mask of one simulated head."""
    done = clean_head((size,) * 3, (0.0, 0.0, 0.0))
    rng, truth = np.random.default_rng(0), done.truth
    sigma = np.float32(np.abs(done.signal[0])[truth.mask].mean() / SNR)
    noise = rng.standard_normal((2, *done.signal.shape), np.float32) * sigma
    signal = done.signal + noise[0] + np.complex64(1j) * noise[1]
    phase, magnitude = np.angle(signal).astype(np.float32), np.abs(signal).astype(np.float32)
    grid, times = Grid.from_affine(truth.mask.shape, done.affine), Acquisition().echo_times
    for name, (recipe, two_pass) in {**masks, "true brain": (None, False)}.items():
        options = qsm.preset("default")
        given = truth.mask if recipe is None else None
        if recipe is not None:
            options = replace(options, mask=replace(options.mask, filled=recipe, two_pass=two_pass))
        result = qsm.reconstruct(phase, magnitude, times, grid, TESLA, options, mask=given)
        shared = result.mask & truth.mask
        chi = np.where(result.mask, result.chi - result.chi[shared].mean() + truth.chi[shared].mean(), 0)
        brain = truth.mask.sum()
        lost = 100 * np.count_nonzero(truth.mask & ~result.masks.brain) / brain
        added = 100 * np.count_nonzero(result.masks.brain & ~truth.mask) / brain
        errors = [
            1000 * float(np.sqrt(np.mean((chi - truth.chi)[inside] ** 2)))
            for inside in regions_of(truth, grid).values()
        ]
        yield (f"{size:g} mm", name, f"{lost:.1f}", f"{added:.1f}", *(f"{error:.1f}" for error in errors))


def block_rows(folder):
    """Yield a row of each block of a real head for each erosion of its mask."""
    for name in ("a", "b"):
        field, affine = read_image(folder / f"{name}_field.nii.gz")
        cosmos = read_image(folder / f"{name}_cosmos.nii.gz")[0]
        mask, scored = (read_image(folder / f"{name}_{what}.nii.gz")[0] > 0 for what in ("mask", "scored"))
        grid = Grid(mask.shape, tuple(np.linalg.norm(affine[:3, :3], axis=0)), (0.0, 0.0, 1.0))
        core = scored & ndimage.binary_erosion(mask, iterations=8)
        shell = scored & mask & ~ndimage.binary_erosion(mask, iterations=4)
        for count in range(4):
            inside = ndimage.binary_erosion(mask, iterations=count) if count else mask
            chi = qsm.INVERSIONS[qsm.DEFAULT_INVERSION](field * inside, inside, grid)
            yield (
                f"block {name} (COSMOS)",
                f"{count} voxels" if count != 1 else "1 voxel",
                f"{metrics.nrmse(chi, cosmos, core):.1f}",
                f"{metrics.xsim(chi, cosmos, inside, scored=core):.3f}",
                f"{metrics.nrmse(chi, cosmos, shell):.1f}",
                f"{100 * np.count_nonzero(inside & scored) / np.count_nonzero(mask & scored):.0f}",
            )


def philips_rows(folder, picture):
    """Yield a row of every mask of the Philips head; the core is what all masks have, 9 mm below their boundary."""
    names = [f"sub-philipshead_echo-{n}_part-{{}}_MEGRE" for n in (1, 2)]
    phase, magnitude = (
        np.stack([read_image(folder / f"{name.format(part)}.nii.gz")[0] for name in names]) for part in ("phase", "mag")
    )
    sidecars = [json.loads((folder / f"{name.format('phase')}.json").read_text()) for name in names]
    affine = read_image(folder / f"{names[0].format('phase')}.nii.gz")[1]
    phase = to_radians(phase, units=sidecars[0].get("Units"), manufacturer="Philips").phase
    times, grid = tuple(sidecar["EchoTime"] for sidecar in sidecars), Grid.from_affine(phase.shape[1:], affine)
    results, known = {}, qsm.Acquisition("Philips")
    for name, (recipe, two_pass) in MASKS.items():
        options = qsm.preset("default")
        options = replace(options, mask=replace(options.mask, filled=recipe, two_pass=two_pass))
        strength = sidecars[0]["MagneticFieldStrength"]
        results[name] = qsm.reconstruct(phase, magnitude, times, grid, strength, options, acquisition=known)
    if picture is not None:
        draw(picture, np.sqrt(np.sum(np.square(magnitude), axis=0)), {k: v.masks.brain for k, v in results.items()})
    shared = np.logical_and.reduce([result.masks.brain for result in results.values()])
    core = ndimage.binary_erosion(shared, iterations=3)
    for name, result in results.items():
        edge = result.mask & ~ndimage.binary_erosion(result.mask, iterations=2)
        inner, outer = (1000 * float(result.chi[where].std()) for where in (core & result.mask, edge))
        volume = np.count_nonzero(result.masks.brain) * grid.voxel_volume / 1000
        yield name, f"{volume:.0f}", f"{inner:.0f}", f"{outer:.0f}", f"{outer / inner:.2f}"


def draw(path, magnitude, masks):
    """Write a picture of a sagittal and an axial slice with the outline of every mask that differs."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    shown = {name: mask for name, mask in masks.items() if "two passes" not in name}
    figure, axes = plt.subplots(2, len(shown), figsize=(2.1 * len(shown), 4.4), facecolor="black", squeeze=False)
    top = np.percentile(magnitude, 99)
    slices = (np.s_[magnitude.shape[0] // 2], np.s_[:, :, magnitude.shape[2] // 3])
    for column, (name, mask) in enumerate(shown.items()):
        axes[0, column].set_title(name, color="white", fontsize=8)
        for row, place in enumerate(slices):
            axes[row, column].imshow(magnitude[place].T, cmap="gray", origin="lower", vmax=top)
            axes[row, column].contour(mask[place].T, [0.5], colors="orange", linewidths=1)
            axes[row, column].set_axis_off()
    figure.tight_layout(pad=0.3)
    figure.savefig(path, dpi=80, facecolor="black")
    plt.close(figure)


def main(argv=None):
    args = parser(__doc__).parse_args(argv)
    data = Path(os.environ.get("QSM_TEST_DATA", ROOT.parent / "shared" / "data"))
    note = f"Preset `default` but for the mask, {time.strftime('%Y-%m-%d')}."
    is_default = args.readme == README
    pages = (args.readme, PAGE) if is_default else (args.readme,)

    def tell(name, head, row, keys):
        print(*row, sep="\t", flush=True)
        for page in pages:
            write_table(page, name, note, head, [row], keys)

    masks = {name: mask for name, mask in MASKS.items() if not args.only or name in args.only}
    for size in (6.0,) if args.quick else (3.0, 2.0):
        for row in phantom_rows(size, masks):
            tell("masks", HEAD, row, 2)
    blocks, philips = data / "invivo-cosmos", data / "real-bids" / "sub-philipshead" / "anat"
    if args.quick or not blocks.is_dir():
        return
    for row in block_rows(blocks):
        tell("masks-blocks", BLOCKS, row, 2)
    for row in philips_rows(philips, PICTURE if is_default else None):
        tell("masks-philips", PHILIPS, row, 1)


if __name__ == "__main__":
    main()
