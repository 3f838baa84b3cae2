"""The pipeline: reading the tuple below is reading what happens, in order."""

from bids_app.steps.chi import CHI
from bids_app.steps.field import FIELD
from bids_app.steps.masks import MASKS
from bids_app.steps.relaxometry import RELAXOMETRY
from bids_app.steps.step import Step

#: Steps over one gradient-echo run.
PARTICIPANT: tuple[Step, ...] = (FIELD, MASKS, CHI, RELAXOMETRY)
