"""What a dataset holds by the names of its files alone, so that thousands of participants take seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bids_app.model.cohort import Cohort
from bids_app.model.group_run import GroupRun
from bids_app.model.naming import entities_in, is_gradient_echo_phase, run_entities
from bids_app.model.records import spelled


@dataclass(frozen=True)
class Home:
    """A participant's session, or the participant where there are no sessions."""

    subject: str
    session: str | None
    runs: tuple[str, ...]  # basenames of the gradient echoes with phase
    images: frozenset[str]  # basenames of all images

    @property
    def name(self) -> str:
        """``sub-01_ses-1``."""
        return f"sub-{self.subject}" + (f"_ses-{self.session}" if self.session else "")


def sessions_of(bids_dir: Path, participants: Sequence[str] = (), sessions: Sequence[str] = ()) -> list[Home]:
    """Return all sessions of a dataset, or those that are selected."""
    listed = []
    for home in sorted(bids_dir.glob("sub-*")):
        subject = home.name.removeprefix("sub-")
        if not home.is_dir() or (participants and subject not in participants):
            continue
        inner = sorted(path for path in home.glob("ses-*") if path.is_dir())
        for place in inner or [home]:
            session = place.name.removeprefix("ses-") if inner else None
            if sessions and session not in sessions:
                continue
            images = [path.name for path in place.glob(f"*/{home.name}_*.nii*")]
            names = {
                spelled(run_entities(path.name))
                for path in place.glob(f"anat/{home.name}_*.nii*")
                if is_gradient_echo_phase(path.name)
            }
            listed.append(
                Home(subject, session, tuple(sorted(names)), frozenset(spelled(run_entities(n)) for n in images))
            )
    return listed


def planned(bids_dir: Path, participants: Sequence[str] = (), sessions: Sequence[str] = ()) -> Cohort:
    """Return whom the group will hold when the level ``participant`` has made everything."""
    names = sorted(name for home in sessions_of(bids_dir, participants, sessions) for name in home.runs)
    return Cohort(tuple(GroupRun(entities_in(name), ()) for name in names))
