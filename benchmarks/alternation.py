"""Fields that ring at the highest frequency of the grid: ``python -m benchmarks.alternation``.

Bone and air around one head have edges as sharp as the voxels, and the field is that of the kernel on the same grid.
Where B0 is oblique to it, the kernel jumps where k-space ends, and every edge rings through the brain with a period of
two voxels; axial fields are beside them, which do not ring. True mask. NRMSE (%) and XSIM with the alternation kept and
removed, as the command does.
"""

import numpy as np

from benchmarks.common import machine, map_scores, parser, publish
from benchmarks.orientations import head_of, surroundings
from bids_app import qsm
from bids_app.phantom.atlas import nucleus_labels
from bids_app.qsm.field.alternation import remove_alternation
from bids_app.qsm.grid import Grid
from bids_app.qsm.operators.dipole import forward_field

HEAD = ("B0", "background", "inversion", "kept: NRMSE %", "kept: XSIM", "removed: NRMSE %", "removed: XSIM")
DIRECTIONS = {"axial": (0.0, 0.0, 1.0), "oblique": (0.17, -0.26, 0.95)}
CHAINS = (("lbv", "bayes"), ("none", "tgv"), ("lbv", "rts"), ("vsharp", "rts"), ("pdf", "bayes"), ("tfi", "bayes"))
NOISE_PPM = 0.002


def scores(background, inversion, total, grid, head):
    """Return NRMSE and XSIM of one chain."""
    local, valid = total, head.mask
    if background != "none":
        local, valid = qsm.BACKGROUND[background](total, head.mask, grid)
    chi = qsm.INVERSIONS[inversion](local, valid, grid, magnitude=head.signal.astype(np.float32))
    scores = map_scores(chi * valid, head.chi, head.mask, head.nuclei, nucleus_labels())
    return scores[0], scores[2]


def main(argv=None):
    options = parser(__doc__)
    options.add_argument("--voxel-size", type=float, default=1.2, help="mm")
    args = options.parse_args(argv)
    head = head_of(4.0 if args.quick else args.voxel_size)
    chi = (head.chi + surroundings(head, 0.0)).astype(np.float32)
    rows = []
    for view, b0 in DIRECTIONS.items():
        grid = Grid(chi.shape, (head.voxel,) * 3, b0)
        noise = np.random.default_rng(0).standard_normal(chi.shape, np.float32)
        total = (forward_field(chi, grid) + np.float32(NOISE_PPM) * noise) * head.mask
        without = remove_alternation(total, head.mask).field
        for background, inversion in CHAINS[: 1 if args.quick else None]:
            if args.only and inversion not in args.only:
                continue
            kept, off = (scores(background, inversion, field, grid, head) for field in (total, without))
            rows.append((view, background, inversion, *kept, *off))
            print(*rows[-1], sep="\t", flush=True)
    publish(args, "alternation", machine(), HEAD, rows, 3)


if __name__ == "__main__":
    main()
