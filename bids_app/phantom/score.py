"""``python -m bids_app.phantom.score BIDS OUT``: compare an output's maps with the truth of a simulated study."""

import argparse
import csv
import json
import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import read_image, write_json
from bids_app.errors import InputRefusedError, QsmAppError
from bids_app.phantom import metrics
from bids_app.phantom.folder import TRUTH
from bids_app.phantom.options import Parser

#: Suffix with folder, description entity of the truth, and whether the map is susceptibility.
_MAPS = (
    ("anat", "Chimap", "", True),
    ("anat", "Chimap", "_desc-paramagnetic", True),
    ("anat", "Chimap", "_desc-diamagnetic", True),
    ("anat", "R2starmap", "", False),
    ("anat", "R2map", "", False),
    ("anat", "R2map", "_desc-R2prime", False),
    ("fmap", "fieldmap", "_desc-total", False),
    ("fmap", "fieldmap", "_desc-local", False),
)


#: Maps of one kind of source, which are no variants of the susceptibility map.
_SOURCES = ("_desc-paramagnetic_", "_desc-diamagnetic_")


@dataclass(frozen=True)
class Score:
    """One map against its truth; ``xsim`` and ``slope`` are for susceptibility alone."""

    file: str
    voxels: int
    nrmse: float
    detrended_nrmse: float
    xsim: float | None
    slope: float | None
    regions: tuple[metrics.Region, ...] = ()


def score(bids_dir: Path, output_dir: Path, labels: Sequence[str] = ()) -> tuple[Score, ...]:
    """Return the scores of every map in ``output_dir`` that the study's truth knows.

    Maps are compared where the output's ``desc-qsm_mask`` (or, without one, the map itself) and the true brain agree.

    Raises
    ------
    InputRefusedError
        If there is no truth, nothing to compare, or a map lies on another grid.
    """
    truth = bids_dir / TRUTH
    if not truth.is_dir():
        raise InputRefusedError([f"{bids_dir} has no {TRUTH}: it was not made by python -m bids_app.phantom"])
    wanted = {label.removeprefix("sub-") for label in labels}
    scores: list[Score] = []
    for mask_path in sorted(truth.rglob("sub-*_desc-brain_mask.nii.gz")):
        stem = mask_path.name.removesuffix("_desc-brain_mask.nii.gz")
        if wanted and stem.split("_")[0].removeprefix("sub-") not in wanted:
            continue
        session = mask_path.parent.parent
        maps = output_dir / session.relative_to(truth)
        scores += _session(session, maps, stem, output_dir)
    if not scores:
        raise InputRefusedError([f"{output_dir} holds no map of the study's participants"])
    return tuple(scores)


def _session(truth: Path, maps: Path, stem: str, root: Path) -> Iterator[Score]:
    brain, affine = read_image(truth / "anat" / f"{stem}_desc-brain_mask.nii.gz")
    for folder, suffix, desc, is_chi in _MAPS:
        if not (truth / folder / f"{stem}{desc}_{suffix}.nii.gz").is_file():
            continue  # a study without sources has no truth of them
        true = _on_grid(truth / folder / f"{stem}{desc}_{suffix}.nii.gz", brain.shape, affine)
        # Susceptibility comes in variants (desc-), the others in one kind.
        pattern = f"{stem}*{desc}_{suffix}.nii.gz"
        # Rates and sources have a zero of their own.
        is_relative = suffix not in ("R2starmap", "R2map") and f"{desc}_" not in _SOURCES
        for path in sorted((maps / folder).glob(pattern)):
            if "_space-" in path.name:
                continue  # the level group brings maps to its template
            if not desc and (
                any(part in path.name for part in _SOURCES) or (suffix == "R2map" and "_desc-" in path.name)
            ):
                continue
            values = _on_grid(path, brain.shape, affine)
            mask = (brain > 0) & _valid(maps / "anat", stem, values, affine)
            if not mask.any():
                raise InputRefusedError([f"{path}: the map is empty inside the true brain"])
            regional: tuple[metrics.Region, ...] = ()
            if is_chi:
                nuclei, _ = read_image(truth / "anat" / f"{stem}_seg-nuclei_dseg.nii.gz")
                names = _names(truth, "seg-nuclei_dseg.tsv")
                regional = metrics.regions(values, true, mask, nuclei.astype(np.int32), names)
            yield Score(
                file=path.relative_to(root).as_posix(),
                voxels=int(mask.sum()),
                nrmse=metrics.nrmse(values, true, mask, reference=is_relative),
                detrended_nrmse=metrics.detrended_nrmse(values, true, mask),
                xsim=metrics.xsim(values, true, mask, reference=is_relative) if is_chi else None,
                slope=metrics.slope(regional) if is_chi else None,
                regions=regional,
            )


def _on_grid(path: Path, shape: tuple[int, ...], affine: npt.NDArray[np.float64]) -> npt.NDArray[np.float32]:
    values, map_affine = read_image(path)
    if values.shape != shape or not np.allclose(map_affine, affine, atol=1e-3):
        raise InputRefusedError([f"{path} lies on another grid than the truth: it cannot be compared voxel by voxel"])
    return values


def _valid(
    anat: Path, stem: str, values: npt.NDArray[np.float32], affine: npt.NDArray[np.float64]
) -> npt.NDArray[np.bool_]:
    masks = sorted(anat.glob(f"{stem}*_desc-qsm_mask.nii.gz"))
    if not masks:
        inside: npt.NDArray[np.bool_] = values != 0
    else:
        inside = _on_grid(masks[0], values.shape, affine) > 0
    valid: npt.NDArray[np.bool_] = inside & np.isfinite(values)
    return valid


def _names(truth: Path, name: str) -> dict[int, str]:
    for folder in (truth, *truth.parents):
        if (folder / name).is_file():
            with (folder / name).open(newline="") as file:
                return {int(row["index"]): row["name"] for row in csv.DictReader(file, delimiter="\t")}
    raise InputRefusedError([f"the table {name} is missing in the truth"])


def table(scores: Sequence[Score]) -> str:
    """Return the scores as text: one line per map, then the regions of the susceptibility maps."""
    width = max(len(Path(s.file).name) for s in scores)
    lines = [f"{'map':<{width}}  {'voxels':>8}  {'NRMSE %':>8}  {'detr. %':>8}  {'XSIM':>5}  {'slope':>5}"]
    for s in scores:
        tail = f"  {s.xsim:5.3f}  {s.slope:5.3f}" if s.xsim is not None else ""
        lines.append(
            f"{Path(s.file).name:<{width}}  {s.voxels:8d}  {s.nrmse:8.1f}  {s.detrended_nrmse:8.1f}{tail}".rstrip()
        )
    for s in scores:
        if s.regions and "_desc-" not in s.file:
            lines += ["", f"{Path(s.file).name}, mean susceptibility (ppm, mask mean is 0)"]
            lines.append(f"  {'region':<24}{'voxels':>7}{'true':>9}{'found':>9}")
            lines += [f"  {r.name:<24}{r.voxels:7d}{r.true:9.4f}{r.estimate:9.4f}" for r in s.regions]
    return "\n".join(lines)


def build_parser() -> Parser:
    """Return the parser."""
    parser = Parser(
        prog="python -m bids_app.phantom.score",
        description="Compare an output's maps with the truth of a simulated study. NRMSE and detrended NRMSE in "
        "percent; XSIM (10.1002/mrm.30271); slope of the means of the deep grey nuclei over the true ones.",
        epilog="exit codes: 0 done, 2 usage, 3 nothing to compare",
        allow_abbrev=False,
    )
    parser.add_argument("bids_dir", type=Path, metavar="BIDS", help="a dataset of python -m bids_app.phantom")
    parser.add_argument("output_dir", type=Path, metavar="OUT", help="output of qsm-bids-app for it")
    parser.add_argument("--participant-label", nargs="+", default=[], metavar="LABEL", help="these participants alone")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the scores as JSON too")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        args: argparse.Namespace = build_parser().parse_args(argv)
        scores = score(args.bids_dir, args.output_dir, args.participant_label)
        if args.json:
            content: list[dict[str, object]] = [asdict(s) for s in scores]
            write_json(args.json, json.loads(json.dumps(content)))
        print(table(scores), flush=True)
        return 0
    except BrokenPipeError:  # who read the table has gone, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 1
    except QsmAppError as error:
        print(f"python -m bids_app.phantom.score: {error}", file=sys.stderr)
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main())
