"""Who is in the group, and whether the group level goes on when somebody is missing."""

import hashlib
import json
import time
from pathlib import Path

from bids_app.cli.config import Config
from bids_app.dataset.cohort import Cohort, from_json, survey, to_json, troubles
from bids_app.derivatives.files import write_json
from bids_app.errors import InputRefusedError

_PAUSE_S = 5.0


def cohort_of(config: Config) -> Cohort:
    """Return the cohort of a command.

    Only a command of all stages, or of the stage ``tables``, looks at everybody's records. The latter keeps what it
    has found for the elements of the later stages: reading 10,000 participants 10,000 times would take days. What is
    missing is looked for again for ``config.stage_patience`` seconds: on a shared disk, what other nodes have written
    may come to light late.

    Raises
    ------
    InputRefusedError
        If there is no map at all, or somebody is missing, failed or incomplete and ``--allow-missing`` was not given.
    """
    end = time.monotonic() + config.stage_patience
    while True:
        try:
            return _found(config)
        except InputRefusedError:
            if time.monotonic() >= end:
                raise
        time.sleep(min(_PAUSE_S, max(end - time.monotonic(), 0.0)))


def _found(config: Config) -> Cohort:
    kept = _kept(config)
    if config.stage not in ("", "tables"):
        try:
            return from_json(json.loads(kept.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputRefusedError(
                [
                    f"--stage {config.stage}: the stage tables has not found everybody complete (there is no {kept}): "
                    "see what it said, run the level participant again where that is needed, and --stage tables "
                    "before this"
                ]
            ) from error
    if config.stage and not config.dry_run:
        kept.unlink(missing_ok=True)  # no later stage goes on with what an earlier check has found
    cohort = _checked(config)
    if config.stage and not config.dry_run:
        write_json(kept, to_json(cohort))
    return cohort


def _checked(config: Config) -> Cohort:
    cohort = survey(config.bids_dir, config.output_dir, config.participants, config.sessions, by_run=not config.filters)
    if not cohort.runs:
        raise InputRefusedError(
            [
                *troubles(cohort),
                f"{config.output_dir} holds no susceptibility map of these participants: run the level "
                "participant first",
            ]
        )
    bad = troubles(cohort)
    if bad and not config.allow_missing:
        raise InputRefusedError(
            [
                *bad,
                f"{sum(s.is_problem for s in cohort.entries)} of {len(cohort.entries)} are not complete: run the "
                "level participant again, or go on without them by --allow-missing",
            ]
        )
    return cohort


def _kept(config: Config) -> Path:
    """Return where the stages of one selection of participants keep their cohort."""
    chosen = json.dumps([sorted(config.participants), sorted(config.sessions), bool(config.filters)])
    digest = hashlib.blake2b(chosen.encode(), digest_size=4).hexdigest()
    return config.output_dir / "logs" / f"cohort-{digest}.json"
