"""``python -m bids_app.adapters.fetch``: bring the default atlas into ``TEMPLATEFLOW_HOME``, once, with network.

The image build calls it, so that nothing is fetched when the app runs. The Harvard-Oxford subcortical atlas is the one
of the default template whose regions are those that susceptibility is asked for.
"""

import sys

from bids_app.adapters import atlas
from bids_app.errors import QsmAppError, ToolMissingError

SEGMENTATION, VARIANT = "HOSPA", "th25"


def fetch() -> list[str]:
    """Fetch T1w, brain mask, labels and their table, check that they make an atlas, and return the files.

    Raises
    ------
    ToolMissingError
        If something cannot be fetched, or what came is no complete atlas.
    """
    from templateflow import api

    template = atlas.DEFAULT_TEMPLATE
    labels = {"atlas": SEGMENTATION, "desc": VARIANT, "suffix": "dseg"}
    queries: list[dict[str, object]] = [
        {"resolution": 1, "suffix": "T1w", "desc": None, "extension": ".nii.gz"},
        {"resolution": 1, "suffix": "mask", "desc": "brain", "extension": ".nii.gz"},
        {"resolution": 1, "extension": ".nii.gz", **labels},
        {"atlas": SEGMENTATION, "suffix": "dseg", "extension": ".tsv"},
    ]
    files = []
    for query in queries:
        try:
            paths = api.get(template, **query)
        except Exception as error:  # no network shows in many ways
            raise ToolMissingError(f"TemplateFlow's {template} cannot be fetched: {type(error).__name__}") from error
        if not paths:
            raise ToolMissingError(f"TemplateFlow has no file of {template} for {query}")
        files += [str(path) for path in (paths if isinstance(paths, list) else [paths])]
    if atlas.default() is None:
        raise ToolMissingError(f"what was fetched of {template} is no complete atlas: {', '.join(files)}")
    return files


def main() -> int:
    """Fetch, and print the files."""
    try:
        print("\n".join(fetch()))
    except QsmAppError as error:
        print(f"qsm-bids-app: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
