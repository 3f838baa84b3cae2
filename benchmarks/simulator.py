"""Run the app on data of another simulator and score the maps: ``python -m benchmarks.simulator``.

The simulator is a program of its own that writes a BIDS dataset, with the true susceptibility in a derivative. Give its
command with ``{bids}`` for the folder. ``qsm-forward`` (GPL, never a dependency: install it in an environment of its
own) writes ``derivatives/*/sub-*/anat/*_Chimap.nii*``::

    python -m benchmarks.simulator --command "qsm-forward simple --voxel-size 2 2 2 {bids}" --presets default consensus

``--bids FOLDER`` takes a dataset that is there already. Columns: NRMSE and detrended NRMSE (%), XSIM of a Gaussian
window of 7 voxels, slope of the map over the truth; in the mask of the output and the simulator's mask together.
"""

import shlex
import subprocess
import sys
import tempfile
from pathlib import Path

import nibabel as nib
import numpy as np

from benchmarks.common import call, parser
from benchmarks.tables import table, write_table
from bids_app.phantom import metrics

HEAD = ("data", "preset", "map", "NRMSE %", "detrended %", "XSIM", "slope")


def truth_of(bids):
    """Yield (anat folder relative to the dataset, true susceptibility, mask) of each session of a simulated dataset."""
    files = sorted(bids.glob("derivatives/*/sub-*/**/anat/*_Chimap.nii*"))
    if not files:
        raise SystemExit(f"{bids}/derivatives has no *_Chimap.nii. Let the simulator save the true susceptibility.")
    for path in files:
        image = nib.load(path)
        chi = np.asarray(image.dataobj, np.float32)
        masks = sorted(path.parent.glob("*_mask.nii*"))
        mask = np.asarray(nib.load(masks[0]).dataobj) > 0.5 if masks else chi != 0
        yield path.parent.relative_to(next(p for p in path.parents if p.parent.name == "derivatives")), chi, mask


def scores(estimate, true, mask):
    """Return the numbers of a row."""
    a, b = (m[mask].astype(np.float64) - m[mask].mean(dtype=np.float64) for m in (estimate, true))
    return (
        f"{metrics.nrmse(estimate, true, mask):.1f}",
        f"{metrics.detrended_nrmse(estimate, true, mask):.1f}",
        f"{metrics.xsim(estimate, true, mask):.3f}",
        f"{a @ b / (b @ b):.2f}",
    )


def rows_of(bids, out, preset):
    """Yield a row for every map of susceptibility that the app has written."""
    for anat, chi, mask in truth_of(bids):
        maps = sorted((out / anat).glob("*_Chimap.nii.gz"))
        if not maps:
            raise SystemExit(f"{out / anat} has no *_Chimap.nii.gz. Look at the app's messages.")
        for path in maps:
            estimate = np.asarray(nib.load(path).dataobj, np.float32)
            if estimate.shape != chi.shape:
                raise SystemExit(f"{path} has shape {estimate.shape}, the truth {chi.shape}.")
            valid = mask & np.isfinite(estimate) & (estimate != 0)
            yield bids.name, preset, path.name.removesuffix(".nii.gz"), *scores(estimate, chi, valid)


def simulate(command, bids):
    """Run the simulator; its command is split as a shell does, ``{bids}`` is the folder."""
    words = [word.replace("{bids}", str(bids)) for word in shlex.split(command)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(words)} failed with exit code {done.returncode}:\n{done.stderr[-2000:]}")


def main(argv=None):
    options = parser(__doc__)
    options.set_defaults(readme=None)
    source = options.add_mutually_exclusive_group(required=True)
    source.add_argument("--command", help="the simulator's command, with {bids} for the dataset's folder")
    source.add_argument("--bids", type=Path, help="a simulated dataset that is there already")
    options.add_argument("--presets", nargs="+", default=["default"], help="of the app")
    options.add_argument("--app", default="", help="further options of the app, such as '--segmentation none'")
    args = options.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        bids = args.bids or Path(folder) / "simulated"
        if args.command:
            simulate(args.command, bids)
        rows = []
        for preset in args.presets:
            out = Path(folder) / f"out-{preset}"
            extra = shlex.split(args.app)
            call("bids_app", bids, out, "participant", "--preset", preset, "--skip-bids-validation", *extra)
            print(f"{preset}: done", file=sys.stderr)
            rows += rows_of(bids, out, preset)
    print(table(HEAD, rows))
    if args.readme is not None:
        write_table(args.readme, "simulator", "Measured with this version's defaults.", HEAD, rows, 3)


if __name__ == "__main__":
    main()
