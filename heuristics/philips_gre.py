"""Philips: FFE with magnitude and phase (or real and imaginary), and T1-weighted TFE.

Classic files hold one image each, enhanced ones all echoes and parts of a series. What a series is follows from its
headers, ImageType (``M_FFE``) or the scanning technique, where names say nothing. SWIp and B0 maps are left out.
"""

import re

from bids_app.convert.keys import custom_seqinfo, keys_by_content

__all__ = ["custom_seqinfo", "infotodict"]

#: Values of ImageType by which Philips marks what it computed: susceptibility-weighted images and field maps.
COMPUTED = {"SWI", "SWIP", "VENOUS_BOLD", "B0", "B0 MAP", "FIELD_MAP", "MAP", "T2_STAR MAP"}
NAME = re.compile(r"ffe|tfe|gre|qsm|swi|t1", re.IGNORECASE)
#: Values of ImageType of gradient echoes, such as M_FFE and FFE.
GRADIENT_ECHO = re.compile(r"(^|_)[FT]FE$", re.IGNORECASE)


def infotodict(seqinfo):
    wanted = []
    for s in seqinfo:
        if s.custom.vendor != "Philips" or COMPUTED & set(s.image_type):
            continue
        names = f"{s.sequence_name} {s.custom.sequence} {s.protocol_name} {s.series_description}"
        if NAME.search(names) or any(GRADIENT_ECHO.search(token) for token in s.custom.tokens):
            wanted.append(s)
    return keys_by_content(wanted, field_maps=True)
