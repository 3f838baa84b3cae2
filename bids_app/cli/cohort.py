"""Who is in the group, and whether the group level goes on when somebody is missing."""

import hashlib
import json
import time
from dataclasses import dataclass, field, replace
from pathlib import Path

from bids_app.cli.config import Selection
from bids_app.cli.group_options import GroupRules
from bids_app.dataset.cohort import Wanted, from_json, problems, survey, to_json
from bids_app.dataset.integrity import TABLE_READS, TEMPLATE_READS, Verifier
from bids_app.dataset.uniformity import mixtures
from bids_app.derivatives.files import write_json
from bids_app.derivatives.presence import read_json_object
from bids_app.derivatives.ratings import read_ratings
from bids_app.engine.levels import FIRST_STAGE
from bids_app.errors import InputRefusedError
from bids_app.model.cohort import WITHDRAWN, Cohort

_PAUSE_S = 5.0


@dataclass(frozen=True)
class CohortSearch:
    """Where the cohort is looked for, and what is allowed.

    Only a command of all stages, or of the stage ``tables``, looks at everybody's records. The latter keeps the cohort
    for the elements of the later stages: reading 10,000 participants 10,000 times would take days.
    """

    bids_dir: Path
    output_dir: Path
    selection: Selection
    stage: str = ""  # the only stage that is run; empty: all
    rules: GroupRules = field(default_factory=GroupRules)
    with_images: bool = True  # whether images are read too, and not tables alone
    keeps: bool = True  # whether the stage tables keeps the cohort (not in a dry run)
    threads: int = 1
    _verifier: Verifier = field(default_factory=Verifier)

    def wait(self, patience: float) -> Cohort:
        """Return the cohort; what is missing is looked for again for ``patience`` seconds.

        On a shared disk, what other nodes have written may come to light late.

        Raises
        ------
        InputRefusedError
            If there is no map at all, somebody is missing, failed, changed or incomplete and that is not allowed, or
            the runs were made in different ways and that is not allowed.
        """
        end = time.monotonic() + patience
        while True:
            try:
                return self.now()
            except InputRefusedError:
                if time.monotonic() >= end:
                    raise
            time.sleep(min(_PAUSE_S, max(end - time.monotonic(), 0.0)))

    def now(self) -> Cohort:
        """Return the cohort as it is now; raises as :meth:`wait` does."""
        kept = self.kept
        if self.stage not in ("", FIRST_STAGE):
            try:
                return from_json(read_json_object(kept))
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                reason = (
                    f"--stage {self.stage}: the stage tables has not found everybody complete (there is no {kept}): "
                    "see what it said, run the level participant again where that is needed, and --stage tables "
                    "before this"
                )
                raise InputRefusedError([reason]) from error
        if self.stage and self.keeps:
            kept.unlink(missing_ok=True)  # no later stage goes on with what an earlier check has found
        cohort = self._checked()
        if self.stage and self.keeps:
            write_json(kept, to_json(cohort))
        return cohort

    def everybody(self) -> Cohort:
        """Return who is there and who is not, without any judgement."""
        return self._survey()[0]

    def _survey(self) -> tuple[Cohort, tuple[str, ...]]:
        """Return who is there, and in what the runs differ that should be made alike."""
        chosen = self.selection
        wanted = Wanted(
            chosen.participants,
            chosen.sessions,
            by_run=not chosen.filters,
            reads=(*TABLE_READS, *(TEMPLATE_READS if self.with_images else ())),
            ratings=read_ratings(self.rules.ratings),
            with_withdrawn=self.rules.include_withdrawn,
        )
        self._verifier.quick = self.rules.quick
        cohort, records = survey(self.bids_dir, self.output_dir, wanted, self._verifier, self.threads)
        return cohort, mixtures(records)

    @property
    def kept(self) -> Path:
        """Where the stages of one selection of participants keep their cohort."""
        selection = self.selection
        chosen = json.dumps([sorted(selection.participants), sorted(selection.sessions), bool(selection.filters)])
        digest = hashlib.blake2b(chosen.encode(), digest_size=4).hexdigest()
        return self.output_dir / "logs" / f"cohort-{digest}.json"

    def _checked(self) -> Cohort:
        cohort, mixed = self._survey()
        bad = problems(cohort)
        if not cohort.runs:
            text = (
                f"{self.output_dir} holds no susceptibility map of these participants: run the level participant first"
            )
            raise InputRefusedError([*bad, *_withdrawn(cohort, self.bids_dir), text])
        refusals = []
        if bad and not self.rules.allow_missing:
            number = sum(entry.is_problem for entry in cohort.entries)
            text = (
                f"{number} of {len(cohort.entries)} are not complete: run the level participant again, or continue "
                "without them with --allow-missing"
            )
            refusals += [*bad, text]
        if mixed and not self.rules.allow_mixed:
            text = (
                "runs that are analysed together were made in different ways: run the level participant again with the "
                "same options for all (what is unchanged is not repeated), or go on by --allow-mixed"
            )
            refusals += [*mixed, text]
        if refusals:
            raise InputRefusedError(refusals)
        return replace(cohort, remarks=(*cohort.remarks, *mixed))


def _withdrawn(cohort: Cohort, bids_dir: Path) -> list[str]:
    """Say how those are kept who are not in the dataset, where nobody else is there."""
    names = [entry.run for entry in cohort.entries if entry.status == WITHDRAWN]
    if not names:
        return []
    return [f"{', '.join(names[:10])}: {WITHDRAWN} ({bids_dir} has no images of them); --include-withdrawn keeps them"]
