"""The default heuristic: decides by the content of the DICOM headers, whatever the protocols are called.

Multi-echo gradient echoes become MEGRE, single-echo ones T2starw, MPRAGE T1w, MP2RAGE UNI UNIT1; the rest is left out.
"""

from bids_app.convert.keys import custom_seqinfo, keys_by_content

__all__ = ["custom_seqinfo", "infotodict"]


def infotodict(seqinfo):
    return keys_by_content(seqinfo)
