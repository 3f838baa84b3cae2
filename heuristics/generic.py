"""The default heuristic: decides by the content of the DICOM headers, whatever the protocols are called.

Multi-echo gradient echoes become MEGRE, single-echo ones T2starw, MPRAGE and MP2RAGE UNI T1w; the rest is left out.
"""

from bids_app.convert.grouping import decide
from bids_app.convert.series import custom_seqinfo  # noqa: F401  heudiconv fills seqinfo.custom with it

FOLDER = "{bids_subject_session_dir}/anat/{bids_subject_session_prefix}"


def create_key(template, outtype=("nii.gz",), annotation_classes=None):
    return template, outtype, annotation_classes


def infotodict(seqinfo):
    """Give every series its name; ``echo-`` and ``part-`` of a series that holds several are added at conversion."""
    ids = {s.custom.uid: s.series_id for s in seqinfo if s.custom is not None}
    info = {}
    for decision in decide([s.custom for s in seqinfo if s.custom is not None]).values():
        if decision.suffix:
            entities = "".join(f"_{key}-{value}" for key, value in decision.entities)
            key = create_key(f"{FOLDER}{entities}_{decision.suffix}")
            info.setdefault(key, []).append(ids[decision.facts.uid])
    return info
