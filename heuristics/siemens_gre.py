"""Siemens: gradient echoes of the product and the usual research sequences, MPRAGE and MP2RAGE.

Takes series by the name of the sequence, whatever the protocol is called: also a two-echo scan called "field map".
Magnitude and phase come as two series or as one; ``*fm2d`` (the field map product) is left out.
"""

import re

from bids_app.convert.keys import custom_seqinfo, keys_by_content

__all__ = ["custom_seqinfo", "infotodict"]

#: fl3d and fl2d: gre and its relatives (also ASPIRE); swi3d; qfl: qGRE; tfl3d: MPRAGE and MP2RAGE. XA adds no star.
SEQUENCE = re.compile(r"\*?(q?fl[23]d|swi3d|tfl|gre|aspire)", re.IGNORECASE)


def infotodict(seqinfo):
    wanted = [s for s in seqinfo if s.custom.vendor == "Siemens" and SEQUENCE.match(s.sequence_name)]
    return keys_by_content(wanted, field_maps=True)
