"""Recognition of phase that the scanner filtered for SWI, for conversion and for the checks of a dataset."""

import re
from collections.abc import Iterable

#: Names of series whose phase was filtered for SWI: of Siemens (Pha_Images) and of GE (FILT_PHA), and in words.
_FILTERED = re.compile(
    r"(?<![a-z])(pha_images|filt(ered)?[-_ ]?pha|pha(se)?[-_ ]?filt|high[-_ ]?pass|hpf)", re.IGNORECASE
)
#: Values of ImageType that a phase has where it was made for SWI.
_OF_SWI = {"SWI", "SW", "FILTERED", "FILTERED_PHASE"}


def is_filtered_phase(description: str, image_type: Iterable[object]) -> bool:
    """Return whether a phase was high-pass filtered for SWI, by the name of its series and its ImageType.

    Examples
    --------
    >>> is_filtered_phase("Pha_Images", ["ORIGINAL", "PRIMARY", "P", "ND"])
    True
    >>> is_filtered_phase("gre_unfiltered_phase", ["ORIGINAL", "PRIMARY", "P"])
    False
    """
    return bool(_FILTERED.search(description) or _OF_SWI & {str(value).upper() for value in image_type})
