"""GE: SWAN and other 3D gradient echoes with their phase or real and imaginary images, BRAVO and MPRAGE.

One series holds all echoes and parts; (0043,102F) tells them apart. Series that the scanner filtered or projected
(ImageType DERIVED) are left out. Sign and slice alternation of GE's phase are undone by the participant level.
"""

import re

from bids_app.convert.keys import custom_seqinfo, keys_by_content

__all__ = ["custom_seqinfo", "infotodict"]

#: Names of the sequence, or of the protocol where the sequence is only called "GR".
NAME = re.compile(r"swan|gre|spgr|merge|qsm|bravo|mp-?rage", re.IGNORECASE)


def infotodict(seqinfo):
    wanted = []
    for s in seqinfo:
        names = f"{s.sequence_name} {s.protocol_name} {s.series_description}"
        if s.custom.vendor == "GE" and not s.is_derived and NAME.search(names):
            wanted.append(s)
    return keys_by_content(wanted, field_maps=True)
