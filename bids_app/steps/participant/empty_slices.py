"""Slices without signal between others."""

from collections.abc import Iterator

import numpy as np

from bids_app.qsm.arrays import FloatArray


def empty_slices(magnitude: FloatArray, what: str = "") -> Iterator[str]:
    """Find slices without any signal between others that have some: they cut the object in pieces.

    Parameters
    ----------
    magnitude : array (x, y, z)
        A magnitude.
    what : str
        What the sentences call it.

    Yields
    ------
    str
        A sentence for each axis with such slices.
    """
    for axis, name in enumerate("ijk"):
        filled = np.asarray(magnitude.any(axis=tuple(a for a in range(3) if a != axis)))
        places = np.flatnonzero(filled)
        gaps = np.flatnonzero(~filled[places[0] : places[-1]]) + places[0] if places.size else places
        if gaps.size:
            shown = ", ".join(str(place) for place in gaps[:10]) + (" ..." if gaps.size > 10 else "")
            yield (
                f"{what}{gaps.size} slices along {name} are empty ({shown}) between others with signal: the object is "
                "cut in pieces and the map is wrong near them; export the images again"
            )
