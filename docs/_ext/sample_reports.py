"""Keep the reports that the tutorial on a study makes, and publish them as a part of the site: ``sample/*.html``.

Tutorials write below the temporary folder. While the documentation is built, that is a folder of the build.
"""

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

#: Where ``examples/plot_4_group_study.py`` writes its results, below the temporary folder.
_STUDY = Path("qsm-tutorials", "study", "out")
_PAGES = ("group.html", "sub-01.html")
#: Pages of the study and of everybody, and the tables that the study's page leads to.
_FILES = ("*.html", "group_*.?sv", "group_*.json")


def prepare(app: Any, config: Any) -> None:
    """Let the tutorials write into a fresh folder of the build, and find the commands of this environment."""
    folder = Path(app.outdir).parent / "tutorials"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    tempfile.tempdir = str(folder)
    os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ.get("PATH", "")))


def keep(app: Any) -> None:
    """Copy the reports; those of an earlier build stay when the tutorial is unchanged and did not run."""
    sample = Path(app.srcdir) / "auto_examples" / "sample"
    sample.mkdir(exist_ok=True)
    study = Path(tempfile.gettempdir()) / _STUDY
    for path in (path for pattern in _FILES for path in study.glob(pattern)):
        shutil.copy(path, sample / path.name)


def publish(app: Any, error: Exception | None) -> None:
    """Copy the reports into the site.

    Raises
    ------
    ExtensionError
        If the tutorial left no report: pages of the site link to it.
    """
    from sphinx.errors import ExtensionError

    shutil.rmtree(tempfile.gettempdir(), ignore_errors=True)
    if error is not None or app.builder.format != "html":
        return
    sample = Path(app.srcdir) / "auto_examples" / "sample"
    missing = [name for name in _PAGES if not (sample / name).is_file()]
    if missing:
        raise ExtensionError(f"no {' and no '.join(missing)} from the tutorial on a study: remove docs/auto_examples")
    shutil.copytree(sample, Path(app.outdir) / "sample", dirs_exist_ok=True)


def setup(app: Any) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("config-inited", prepare)
    app.connect("builder-inited", keep)  # after the gallery, which conf.py names before
    app.connect("build-finished", publish)
    return {"version": "1", "parallel_read_safe": True}
