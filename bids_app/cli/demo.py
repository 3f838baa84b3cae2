"""``qsm-bids-app demo [FOLDER]``: simulate a small study, map it, and compare the maps with the truth."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

#: The study has voxels of 2 mm: a coarse registration of the atlas is as good there and takes a tenth of the time.
_COARSE = ("registration.resolution=3", "registration.syn_resolution=3", "registration.syn_fine=10")


def demo(arguments: Sequence[str], command: Callable[[Sequence[str]], int]) -> int:
    """Run the demo and return its exit code; ``command`` runs the levels, as the user would."""
    from bids_app.cli.compilation import has_compiled_kernels
    from bids_app.phantom.__main__ import main as simulate
    from bids_app.phantom.options import Parser
    from bids_app.phantom.score import main as score

    parser = Parser(
        prog="qsm-bids-app demo",
        description="Simulate a small study, map it, and compare the maps with the truth.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", default=Path("demo"), help="where it is written (default: demo)"
    )
    parser.add_argument("--subjects", type=int, default=2, metavar="N", help="participants (default: 2)")
    parser.add_argument("--voxel-size", type=float, default=2.0, metavar="MM", help="voxels in mm (default: 2)")
    args = parser.parse_args(arguments)
    study, out = args.folder / "bids", args.folder / "out"
    if not has_compiled_kernels():
        print("the first run compiles the numerical kernels: one to two minutes, once", flush=True)
    code = simulate([str(study), "--subjects", str(args.subjects), "--voxel-size", str(args.voxel_size)])
    if code:
        return code
    atlas = study / "derivatives" / "phantom" / "tpl-phantom"
    coarse = [word for value in _COARSE for word in ("--set", value)]
    code = command([str(study), str(out), "participant", "--atlas", str(atlas), *coarse])
    print(flush=True)
    score([str(study), str(out), "--json", str(args.folder / "score.json")])
    print(f"\nmaps, tables, reports: {out} (susceptibility: {out}/sub-*/anat/sub-*_Chimap.nii.gz)")
    for page in sorted(out.glob("*.html")):
        print(f"report: {page}")
    return code
