"""The build hook of the wheel: with ``QSM_BIDS_APP_COMPILED=FOLDER`` it packs compiled kernels, and names the platform.

``.ci/compile_kernels.py`` makes the folder. Without the variable the wheel is pure Python, and the first run compiles.
"""

import os
import platform
import sys
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


def platform_tag() -> str:
    """Return the platform for which kernels are compiled here; they need nothing of it but numba."""
    machine = platform.machine()
    if sys.platform == "linux":
        return f"manylinux_2_17_{machine}.manylinux2014_{machine}"
    if sys.platform == "darwin":
        return f"macosx_11_0_{machine}"
    return sysconfig.get_platform().replace("-", "_").replace(".", "_")


class CompiledKernels(BuildHookInterface):
    """Packs compiled kernels."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add the folder to the wheel."""
        folder = os.environ.get("QSM_BIDS_APP_COMPILED")
        if not folder or version == "editable":
            return
        python = f"{sys.version_info[0]}{sys.version_info[1]}"
        if not any(Path(folder).rglob(f"*.py{python}.nbi")):
            raise FileNotFoundError(
                f"{folder} has no kernels for this Python; make them: python .ci/compile_kernels.py --out {folder}"
            )
        build_data["force_include"][folder] = "bids_app/_compiled"
        build_data["pure_python"] = False
        build_data["tag"] = f"cp{python}-none-{platform_tag()}"
