"""Who is in the group, and whether the group level goes on when somebody is missing."""

from bids_app.config import Config
from bids_app.dataset.cohort import Cohort, survey, troubles
from bids_app.errors import InputRefusedError


def cohort_of(config: Config) -> Cohort:
    """Return the cohort of a command.

    Raises
    ------
    InputRefusedError
        If there is no map at all, or somebody is missing, failed or incomplete and ``--allow-missing`` was not given.
    """
    cohort = survey(config.bids_dir, config.output_dir, config.participants, config.sessions, by_run=not config.filters)
    if not cohort.runs:
        raise InputRefusedError([
            *troubles(cohort),
            f"{config.output_dir} holds no susceptibility map of these participants: run the level participant first",
        ])  # fmt: skip
    bad = troubles(cohort)
    if bad and not config.allow_missing:
        raise InputRefusedError([
            *bad, f"{sum(s.is_trouble for s in cohort.standings)} of {len(cohort.standings)} are not complete: run the "
            "level participant again, or go on without them by --allow-missing",
        ])  # fmt: skip
    return cohort
