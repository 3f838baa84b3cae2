"""A stand-in run_fastsurfer.sh: answers as the real one does, and fails in every known way."""

import sys
from pathlib import Path

HELP = "--t1 --sid --sd --seg_only --threads --device --viewagg_device --vox_size --no_cereb --no_hypothal --version"
#: The stand-in's work, by the way in which it fails: a conformed image (LIA), whatever the T1w image's grid.
_MAKE = """
import sys, pathlib, numpy as np, nibabel as nib
args = dict(zip(sys.argv[1::2], sys.argv[2::2]))
mri = pathlib.Path(args["--sd"], args["--sid"], "mri"); mri.mkdir(parents=True)
affine = np.array([[-4, 0, 0, 128], [0, 0, 4, -128], [0, -4, 0, 128], [0, 0, 0, 1.0]])
x = np.indices((64, 64, 64)) - 32
head = (x ** 2).sum(0) < 17 ** 2
labels = np.where(head, 2 + np.clip((x[0] + 17) // 2, 0, 20), 0).astype(np.int16)
mask = head.astype(np.uint8)
fault = "FAULT"
if fault == "few": labels[labels > 0] = 2
if fault == "tiny": mask[:] = 0; mask[30:33, 30:33, 30:33] = 1
if fault == "shape": mask = mask[:32]
if fault != "nolabels": nib.save(nib.MGHImage(labels, affine), mri / "aparc.DKTatlas+aseg.deep.mgz")
if fault != "nomask": nib.save(nib.MGHImage(mask, affine), mri / "mask.mgz")
if fault == "broken": (mri / "mask.mgz").write_bytes(b"no image")
"""


def stand_in(folder: Path, fault: str = "", options: str = HELP, body: str = "", make: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "make.py").write_text(make or _MAKE.replace("FAULT", fault))
    script = folder / "run_fastsurfer.sh"
    script.write_text(
        "#!/bin/bash\n"
        f'echo "$@" > "{folder}/called.txt"\n'
        f'if [ "$1" = --help ]; then echo "usage: {options}"; exit 0; fi\n'
        'if [ "$1" = --version ]; then echo "2.4.2+abc"; exit 0; fi\n'
        f"{body}\n"
        'if [ "$1" = --py ] && [ "$3" = --version ]; then echo "2.4.2+abc"; exit 0; fi\n'
        "keep=()\n"
        'while [ $# -gt 0 ]; do case "$1" in --seg_only|--no_*) shift;; *) keep+=("$1" "$2"); shift 2;; esac; done\n'
        f'exec "{sys.executable}" "{folder}/make.py" "${{keep[@]}}"\n'
    )
    script.chmod(0o755)
    return script
