"""Presets on the data they are for, beside ``default`` on the same: ``python -m benchmarks.presets``.

Whole commands on simulated scans. ``epi``: a head, one long echo, 2 mm. ``highres7t``: a head at 7 T, five short
echoes. ``body``: a torso (fat around muscle, liver, spine, bowel with air) at 3 T, in-phase echoes. ``two echoes``:
a head whose phase offset two echoes alone tell; ``tgv`` inverts each of them. Scores as in
:mod:`benchmarks.accuracy`, over the true brain or torso inside the preset's own valid mask, and the share of it that
the mask holds; slope is that of the nuclei or organs.
"""

import json
import tempfile
import time
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.common import call, cores, machine, map_scores, parser, write_table
from bids_app.derivatives.files import read_image
from bids_app.phantom import forward
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field

#: Options of the simulated heads.
HEADS = {
    "epi": ["--echo-times", "0.03", "--snr", "40"],
    "highres7t": ["--field-strength", "7", "--echo-times", "0.003", "0.007", "0.011", "0.015", "0.019"],
    "two echoes": ["--echo-times", "0.007", "0.020", "--snr", "80"],
}
#: What runs beside ``default`` where the data are no preset's.
PARTNERS = {"two echoes": "tgv"}
#: Organs: centre and half axes (mm), chi (ppm, water is 0), signal, R2* (1/s); later ones lie over earlier ones.
ORGANS = (
    ("fat", (0, 0, 0), (150, 105, 1000), 0.65, 1.0, 30),
    ("muscle", (0, 0, 0), (130, 85, 1000), 0.0, 0.7, 35),
    ("liver", (60, 15, 10), (55, 50, 50), 0.35, 0.6, 90),
    ("spleen", (-85, -20, 15), (25, 35, 35), -0.1, 0.7, 40),
    ("spine", (0, -55, 0), (20, 18, 1000), -0.6, 0.4, 120),
    ("kidney", (-50, -35, -35), (22, 28, 30), 0.05, 0.8, 25),
    ("bowel gas", (-25, 45, -10), (22, 15, 30), 9.4, 0.0, 0),
    ("bowel gas", (-75, 35, -30), (14, 16, 18), 9.4, 0.0, 0),
)
TIMES = (0.0023, 0.0046, 0.0069, 0.0092, 0.0115)
TESLA, SNR = 3.0, 50.0


def torso(shape, voxel, seed=0):
    """Return complex echoes, affine, true chi (ppm), the mask with signal, and organs' numbers, from a finer grid."""
    rng = np.random.default_rng(seed)
    fine = Grid(tuple(2 * n for n in shape), (voxel / 2,) * 3)
    x, y, z = np.meshgrid(*[(np.arange(n) + 0.5 - n / 2) * voxel / 2 for n in fine.shape], indexing="ij", sparse=True)
    chi, density, rate = (np.full(fine.shape, value, np.float32) for value in (9.4, 0, 0))
    labels = np.zeros(fine.shape, np.float32)
    for number, (_, centre, half, value, signal, decay) in enumerate(ORGANS, start=1):
        squares = (((a - c) / h) ** 2 for a, c, h in zip((x, y, z), centre, half, strict=True))
        place = np.broadcast_to(sum(squares) < 1, fine.shape)
        chi[place], density[place], rate[place], labels[place] = value, signal, decay, number
    field = forward_field(chi - np.float32(9.4), fine)
    inside = density > 0
    terms = forward.harmonics(np.stack(np.broadcast_arrays(x, y, z), -1) / 100)
    field -= (terms @ np.linalg.lstsq(terms[inside], field[inside], rcond=None)[0]).astype(np.float32)
    signal = forward.gradient_echo(density, rate, field, TIMES, TESLA, 2)
    sigma = float(np.abs(signal[0]).max()) / SNR
    signal += (sigma * (rng.normal(size=signal.shape) + 1j * rng.normal(size=signal.shape))).astype(np.complex64)
    chi, density, mean = (forward.block_mean(a, (2, 2, 2)) for a in (chi, density, labels))
    whole = np.where(np.abs(mean - np.rint(mean)) < 1e-3, np.rint(mean), 0).astype(int)
    return signal, np.diag([voxel, voxel, voxel, 1.0]), chi, density > 0.3, whole


def write_torso(study, signal, affine):
    """Write the echoes as a BIDS dataset."""
    anat = study / "sub-01" / "anat"
    anat.mkdir(parents=True)
    (study / "dataset_description.json").write_text(json.dumps({"Name": "torso", "BIDSVersion": "1.10.0"}))
    for number, (echo, seconds) in enumerate(zip(signal, TIMES, strict=True), start=1):
        for part, values in (("mag", np.abs(echo)), ("phase", np.angle(echo))):
            stem = anat / f"sub-01_echo-{number}_part-{part}_MEGRE"
            nib.save(nib.Nifti1Image(values.astype(np.float32), affine), f"{stem}.nii.gz")
            sidecar = {"EchoTime": seconds, "MagneticFieldStrength": TESLA, "Units": "rad" if part == "phase" else "1"}
            Path(f"{stem}.json").write_text(json.dumps(sidecar))


def head(study, options, voxel):
    """Simulate a head and return true chi, mask, nuclei's numbers."""
    call(
        "bids_app.phantom", study, "--subjects", 1, "--seed", 5, "--oblique", 10, 5, 0, "--voxel-size", voxel, *options
    )
    true = study / "derivatives" / "phantom" / "sub-01" / "anat"
    files = ("Chimap", "desc-brain_mask", "seg-nuclei_dseg")
    chi, mask, nuclei = (read_image(true / f"sub-01_{name}.nii.gz")[0] for name in files)
    return chi, mask > 0, nuclei.astype(int)


def scored(out, truth):
    """NRMSE, detrended NRMSE, XSIM, slope and coverage of the map in an output folder."""
    chi, mask, labels = truth
    anat = out / "sub-01" / "anat"
    estimate = read_image(next(iter(sorted(anat.glob("sub-01*_Chimap.nii.gz")))))[0]
    valid = mask & (read_image(next(iter(sorted(anat.glob("sub-01*_desc-qsm_mask.nii.gz")))))[0] > 0)
    names = {int(n): str(n) for n in np.unique(labels[valid]) if n}
    return *map_scores(estimate, chi, valid, labels, names), f"{100 * valid.sum() / mask.sum():.0f}"


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="passed on; the row is marked")
    options.add_argument("--voxel-size", type=float, default=2.0, help="mm, of the heads (the torso's is twice that)")
    args = options.parse_args(argv)
    voxel = 4.0 if args.quick else args.voxel_size
    titles = ("data for", "preset", "voxel", "NRMSE %", "detrended %", "XSIM", "slope", "mask holds %", "s")
    for name in (*HEADS, "body"):
        if args.only and name not in args.only:
            continue
        size, rows = voxel * (2 if name == "body" else 1), []
        with tempfile.TemporaryDirectory() as folder:
            study = Path(folder) / "bids"
            if name == "body":
                shape = tuple(int(np.ceil(mm / size)) for mm in (330, 240, 160))
                signal, affine, *truth = torso(shape, size)
                write_torso(study, signal, affine)
            else:
                truth = head(study, HEADS[name], size)
            partner = PARTNERS.get(name, name)
            for preset in (partner, "default"):
                out, start = Path(folder) / preset, time.perf_counter()
                command = ["bids_app", study, out, "participant", "--preset", preset, "--skip-bids-validation"]
                command += ["--segmentation", "none", "--omp-nthreads", cores()]
                extra = args.set if preset == partner else []
                call(*command, *(word for value in extra for word in ("--set", value)))
                seconds = time.perf_counter() - start
                label = " ".join([preset, *extra])
                rows.append((name, label, f"{size:g} mm", *scored(out, truth), f"{seconds:.0f}"))
                print(*rows[-1], sep="\t", flush=True)
        write_table(args.readme, "presets", machine(), titles, rows, 3)


if __name__ == "__main__":
    main()
