"""The record of a run that the level ``participant`` has made, as the group sees it."""

from collections.abc import Mapping
from dataclasses import dataclass

from bids_app.model.records import Entities, spelled


@dataclass(frozen=True)
class GroupRun:
    """A gradient-echo run as the group sees it: whose it is, and which products are there."""

    entities: Entities
    made: tuple[str, ...]  # keys of products
    #: Entities of the T1w image that the run was registered with.
    t1w: Entities | None = None
    #: Similarity of magnitude and T1w image after registration (mutual information).
    similarity: float | None = None

    @property
    def subject(self) -> str:
        """The participant's label."""
        return dict(self.entities)["sub"]

    @property
    def session(self) -> str | None:
        """The session's label."""
        return dict(self.entities).get("ses")

    @property
    def basename(self) -> str:
        """``sub-01_ses-1_acq-x_run-1``."""
        return spelled(self.entities)

    @property
    def t1w_transform(self) -> str:
        """The key of the transform from the T1w image to the run: linear, or a deformation; empty if there is none."""
        return next((key for key in ("xfm_t1w_to_gre", "xfm_t1w_to_gre_warp") if key in self.made), "")

    def facts(self) -> Mapping[str, object]:
        """Return what results depend on besides bytes of images and parameters."""
        return {"entities": self.entities}
