"""The participants that a command is about, with everything that their images' headers say."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from bids_app.dataset.coils import with_coils
from bids_app.dataset.field_maps import with_field_maps
from bids_app.dataset.query import Filter, find_subjects
from bids_app.dataset.slices import with_slices
from bids_app.model.records import Subject


def selected_subjects(
    bids_dir: Path,
    participants: Sequence[str],
    sessions: Sequence[str],
    filters: Mapping[str, Filter],
    combine_coils: bool,
) -> tuple[Subject, ...]:
    """Return what the dataset holds of the selected participants.

    With ``combine_coils`` a fourth dimension of the images counts as receive coils; else such images are refused later.

    Raises
    ------
    InputRefusedError
        As :func:`bids_app.dataset.query.find_subjects`.
    """
    subjects = find_subjects(bids_dir, participants, sessions, filters)
    if not filters.get("gre"):  # whoever selects gradient echoes wants no field map in the place of the others
        subjects = with_field_maps(subjects, bids_dir, sessions)
    return with_slices(with_coils(subjects) if combine_coils else subjects)
