"""Write submission folders for the public QSM-CI leaderboard: ``python -m benchmarks.qsm_ci FOLDER --image IMAGE``.

One folder per stage with ``algorithm.yml``, ``run.sh`` and ``recon.py``. The leaderboard's own command checks and runs
them; install it in an environment of its own (``pip install qsm-ci``), for example::

    qsm-ci run --runner local FOLDER/qsm-bids-app-dipole --localfield local.nii.gz --mask mask.nii.gz
"""

import argparse
import shutil
from pathlib import Path

from benchmarks.qsm_ci_recon import STAGES
from bids_app import qsm

WHAT = {
    "field-mapping": "MCPC-3D-S, ROMEO and a weighted line fit with intercept",
    "bfr": "LBV with corrections at the mask boundary",
    "dipole": f"{qsm.DEFAULT_INVERSION} inversion (error and signal spectra measured in the data)",
    "bfr+dipole": "LBV, separate boundary sources and the default inversion",
    "end-to-end": "The default chain from phase to susceptibility",
}
MANIFEST = """\
name: QSM BIDS App ({stage})
slug: {slug}
stage: {stage}
description: >
  {what}, with the defaults of the software.
citation: null
doi: null
code_url: {code_url}
license: Apache-2.0
image: {image}
run: bash run.sh
"""
RUN = """\
#!/usr/bin/env bash
set -euo pipefail
here="$(cd "$(dirname "$0")" && pwd)"
exec python3 "$here/recon.py" {stage} "${{1:-/input}}" "${{2:-/output}}"
"""


def write(folder, stage, image, code_url):
    """Write the submission folder of a stage and return it."""
    slug = f"qsm-bids-app-{stage.replace('+', '-')}"
    made = Path(folder) / slug
    made.mkdir(parents=True, exist_ok=True)
    text = MANIFEST.format(stage=stage, slug=slug, what=WHAT[stage], image=image, code_url=code_url or "null")
    (made / "algorithm.yml").write_text(text, encoding="utf-8")
    (made / "run.sh").write_text(RUN.format(stage=stage), encoding="utf-8")
    shutil.copyfile(Path(__file__).with_name("qsm_ci_recon.py"), made / "recon.py")
    return made


def main(argv=None):
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("folder", type=Path, help="where the submission folders are written")
    options.add_argument("--image", required=True, help="container image that holds this software")
    options.add_argument("--code-url", default="", help="address of the source code")
    options.add_argument("--stages", nargs="+", default=sorted(STAGES), choices=sorted(STAGES), metavar="STAGE")
    args = options.parse_args(argv)
    for stage in args.stages:
        print(write(args.folder, stage, args.image, args.code_url))


if __name__ == "__main__":
    main()
