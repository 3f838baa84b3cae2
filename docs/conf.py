"""Configuration of the documentation: ``make docs`` builds it offline, with warnings as errors."""

import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

from bids_app import __version__  # noqa: E402

project = "QSM BIDS App"
author = "The QSM BIDS App developers"
copyright = "The QSM BIDS App developers"
version = release = __version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
    "sample_reports",
    "reference_pages",
]
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = [
    "_build",
    "_templates",
    "reference/resource_table.md",  # included by the page on resources
    "auto_examples/*.ipynb",
    "auto_examples/*.py",
    "auto_examples/*.md5",
    "auto_examples/*.json",
]
nitpicky = False
numpydoc_show_class_members = False
autosummary_generate = True
autodoc_typehints = "none"  # numpydoc's sections give the types
suppress_warnings = ["config.cache"]  # the gallery's configuration holds objects that cannot be cached

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": r"/plot_",
    "within_subsection_order": "FileNameSortKey",
    "ignore_pattern": r"simulated_dicom\.py",
    "download_all_examples": False,
    "abort_on_example_error": True,
    "matplotlib_animations": False,
    "remove_config_comments": True,
    "show_memory": False,
    "plot_gallery": True,
}

html_theme = "pydata_sphinx_theme"
html_title = "QSM BIDS App"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_sidebars = {"**": ["all_pages"]}
html_show_sourcelink = False
html_theme_options = {
    "show_prev_next": False,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "navbar_align": "left",
    "navbar_center": [],  # the sidebar has all pages
}
html_copy_source = False
