"""Score inversions on a local field and a reference map that you have: ``python -m benchmarks.reference``.

Give one or several data sets by their common prefix: ``PREFIX_field.nii.gz`` (local field, ppm),
``PREFIX_reference.nii.gz`` or ``PREFIX_cosmos.nii.gz`` (susceptibility, ppm), ``PREFIX_mask.nii.gz``, and optionally
``PREFIX_scored.nii.gz`` (voxels that count; the mask if it is missing) and ``PREFIX_magnitude.nii.gz``. For example::

    python -m benchmarks.reference data/invivo-cosmos/a data/invivo-cosmos/b --only bayes rts

The tables go to the standard output, and into a Markdown file with ``--readme``. Columns of the first table:

* NRMSE %: both maps less their mean over the scored voxels, root mean square of the difference over that of the
  reference.
* XSIM 5 and XSIM 7: see :func:`bids_app.phantom.metrics.xsim`. 5: uniform window of 5 voxels, maps not referenced, as
  in the published figures of the 2016 challenge. 7: Gaussian window of 7 voxels, maps referenced, as in the other
  tables.
* slope: of the map over the reference, least squares over the scored voxels.
* high %: mean of the map over that of the reference where the reference is above 0.1 ppm.

The second table (``--spectrum``) says where the error is: the power of reference and error per band of the frequency
|k| and of the dipole kernel's magnitude |D|, in percent of the reference's power.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.common import parser
from benchmarks.tables import table, write_table
from bids_app import qsm
from bids_app.phantom import metrics
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.spectra import frequencies
from bids_app.qsm.operators.dipole import dipole_kernel
from bids_app.qsm.operators.fft import rfftn

HEAD = ("data", "inversion", "NRMSE %", "XSIM 5", "XSIM 7", "slope", "high %")
SPECTRUM_HEAD = ("data", "inversion", "by", "from", "to", "reference %", "error %")
HIGH_PPM = 0.1
#: Borders of the bands: cycles per mm, and magnitude of the dipole kernel.
K_BANDS = (0.0, 0.03, 0.06, 0.1, 0.15, 0.2, 0.3, 0.4, 1.0)
D_BANDS = (0.0, 0.05, 0.1, 0.2, 0.3, 1 / 3, 0.5, 0.7)


@dataclass(frozen=True)
class Data:
    """A local field and a reference, both in ppm, on one grid; ``scored`` voxels count."""

    name: str
    grid: Grid
    field: np.ndarray
    reference: np.ndarray
    mask: np.ndarray
    scored: np.ndarray
    magnitude: np.ndarray | None


def read_data(prefix):
    """Read the images that share a prefix.

    Raises
    ------
    SystemExit
        If an image is missing or lies on another grid than the field.
    """

    def path(*names):
        return next((p for n in names if (p := Path(f"{prefix}_{n}.nii.gz")).exists()), None)

    files = {
        "field": path("field"),
        "reference": path("reference", "cosmos"),
        "mask": path("mask"),
        "scored": path("scored"),
        "magnitude": path("magnitude"),
    }
    for name in ("field", "reference", "mask"):
        if files[name] is None:
            raise SystemExit(f"{prefix}_{name}.nii.gz does not exist. Give the prefix that your images share.")
    images = {name: nib.load(file) for name, file in files.items() if file is not None}
    field = images["field"]
    for name, image in images.items():
        if image.shape != field.shape:
            raise SystemExit(f"{files[name]} has shape {image.shape}, the field {field.shape}. Resample it first.")
    volumes = {name: np.asarray(image.dataobj, np.float32) for name, image in images.items()}
    mask = (volumes["mask"] > 0) & np.isfinite(volumes["reference"])
    scored = mask & (volumes["scored"] > 0) if "scored" in volumes else mask
    if not scored.any():
        raise SystemExit(f"{prefix}: no voxel is scored. Check the mask and {prefix}_scored.nii.gz.")
    return Data(
        Path(prefix).name,
        Grid.from_affine(field.shape, field.affine),
        volumes["field"],
        np.where(mask, volumes["reference"], np.float32(0)),
        mask,
        scored,
        volumes.get("magnitude"),
    )


def scores(chi, data):
    """Return NRMSE, XSIM of both windows, slope and the share of high values, as they stand in the table."""
    estimate, true = chi[data.scored].astype(np.float64), data.reference[data.scored].astype(np.float64)
    estimate, true = estimate - estimate.mean(), true - true.mean()
    high = data.reference[data.scored] > HIGH_PPM
    kept = 100 * estimate[high].mean() / true[high].mean() if high.any() else float("nan")
    five = metrics.xsim(chi, data.reference, data.mask, width=5, uniform=True, reference=False, scored=data.scored)
    seven = metrics.xsim(chi, data.reference, data.mask, scored=data.scored)
    return (
        f"{metrics.nrmse(chi, data.reference, data.scored):.1f}",
        f"{five:.3f}",
        f"{seven:.3f}",
        f"{estimate @ true / (true @ true):.2f}",
        f"{kept:.0f}",
    )


def error_spectrum(chi, data):
    """Yield (quantity, lower, upper border, reference's and error's power in % of the reference's) per band."""
    true = np.where(data.scored, data.reference - data.reference[data.scored].mean(), 0).astype(np.float32)
    error = np.where(data.scored, chi - chi[data.scored].mean(), 0).astype(np.float32) - true
    powers = []
    for image in (true, error):
        power = np.abs(rfftn(image)).astype(np.float64) ** 2
        # A sample of the half grid stands for two, except in the first plane and in that of the Nyquist frequency.
        power[..., 1 : (image.shape[2] + 1) // 2] *= 2
        powers.append(power)
    frequency = np.sqrt(sum(a**2 for a in np.ix_(*frequencies(data.grid))))
    total = powers[0].sum()
    for name, values, borders in (("k", frequency, K_BANDS), ("D", np.abs(dipole_kernel(data.grid)), D_BANDS)):
        band = np.digitize(values, borders[1:-1])
        sums = [100 / total * np.bincount(band.ravel(), p.ravel(), len(borders) - 1) for p in powers]
        for low, high, reference, wrong in zip(borders[:-1], borders[1:], *sums, strict=True):
            yield name, f"{low:.2f}", f"{high:.2f}", f"{reference:.1f}", f"{wrong:.1f}"


def main(argv=None):
    options = parser(__doc__)
    options.set_defaults(readme=None)
    options.add_argument("data", nargs="+", metavar="PREFIX", help="what the images of a data set share")
    options.add_argument("--spectrum", action="store_true", help="also the error per band of |k| and |D|")
    args = options.parse_args(argv)
    names = sorted(set(qsm.INVERSIONS) if not args.only else set(args.only) & set(qsm.INVERSIONS))
    if not names:
        raise SystemExit(f"--only names no inversion. Choose from: {', '.join(sorted(qsm.INVERSIONS))}.")
    rows, bands = [], []
    for data in map(read_data, args.data):
        for name in names:
            started = time.perf_counter()
            chi = qsm.INVERSIONS[name](data.field, data.mask, data.grid, magnitude=data.magnitude)
            print(f"{data.name} {name}: {time.perf_counter() - started:.1f} s", file=sys.stderr)
            rows.append((data.name, name, *scores(chi, data)))
            bands += [(data.name, name, *band) for band in (error_spectrum(chi, data) if args.spectrum else ())]
    print(table(HEAD, rows))
    if bands:
        print("\n" + table(SPECTRUM_HEAD, bands))
    if args.readme is not None:
        note = f"Measured with this version's defaults, {time.strftime('%Y-%m-%d')}."
        write_table(args.readme, "reference", note, HEAD, rows, 2)
        if bands:
            write_table(args.readme, "reference-spectrum", note, SPECTRUM_HEAD, bands, 4)


if __name__ == "__main__":
    main()
