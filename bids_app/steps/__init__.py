"""The pipeline: reading the tuples below is reading what happens, in order."""

from bids_app.steps.chi import CHI
from bids_app.steps.field import FIELD
from bids_app.steps.masks import MASKS
from bids_app.steps.relaxometry import RELAXOMETRY
from bids_app.steps.step import Step
from bids_app.steps.swi import SWI

#: Steps over one anatomical image (``Anatomical``), before the runs that use it.
ANATOMICAL: tuple[Step, ...] = ()

#: Steps over one gradient-echo run (``GreRun``).
PARTICIPANT: tuple[Step, ...] = (FIELD, MASKS, CHI, RELAXOMETRY, SWI)

#: Steps over all participants (``Cohort``), after all runs.
GROUP: tuple[Step, ...] = ()
