"""The pipeline: reading the tuples below is reading what happens, in order."""

from bids_app.steps.anatomy import ATLAS, FASTSURFER, T1W
from bids_app.steps.chi import CHI
from bids_app.steps.coils import COILS
from bids_app.steps.field import FIELD
from bids_app.steps.group_drawn import DRAWING_STEPS, DRAWN_STEPS
from bids_app.steps.group_fit import FIT_STEPS
from bids_app.steps.group_onward import ONWARD_STEPS
from bids_app.steps.group_space import AVERAGE_MAP_STEPS, SPACE_STEPS
from bids_app.steps.group_tables import COHORT_STEPS, DRAWN_TABLE_STEPS
from bids_app.steps.group_template import AVERAGE_STEPS, MEMBER_STEPS, REGISTER_STEPS
from bids_app.steps.group_voxelwise import VOXELWISE_STEPS
from bids_app.steps.masks import MASKS
from bids_app.steps.quality import QUALITY
from bids_app.steps.reference import REFERENCE
from bids_app.steps.regions import BRAIN, LABELS, TABLES
from bids_app.steps.registration import ATLAS_TO_GRE, REGISTRATION
from bids_app.steps.relaxometry import RELAXOMETRY
from bids_app.steps.step import Step
from bids_app.steps.swi import SWI

#: Steps over one anatomical image (``Anatomical``), before the runs that use it.
ANATOMICAL: tuple[Step, ...] = (T1W, FASTSURFER, ATLAS)

#: Steps over one gradient-echo run (``GreRun``).
PARTICIPANT: tuple[Step, ...] = (
    COILS, FIELD, REGISTRATION, ATLAS_TO_GRE, BRAIN, MASKS, CHI, RELAXOMETRY, SWI, *LABELS, REFERENCE, QUALITY,
    *TABLES,
)  # fmt: skip

#: Steps over all participants (``Cohort``): tables and statistics.
GROUP: tuple[Step, ...] = COHORT_STEPS

#: Steps of the template, each over a record of its own: a participant, one registration of it, one average, a run in
#: the template's space, all of them.
TEMPLATE_MEMBER: tuple[Step, ...] = MEMBER_STEPS
TEMPLATE_REGISTRATION: tuple[Step, ...] = REGISTER_STEPS
TEMPLATE_AVERAGE: tuple[Step, ...] = AVERAGE_STEPS
TEMPLATE_RUN: tuple[Step, ...] = SPACE_STEPS
TEMPLATE_MAPS: tuple[Step, ...] = AVERAGE_MAP_STEPS + FIT_STEPS
TEMPLATE_ONWARD: tuple[Step, ...] = ONWARD_STEPS
TEMPLATE_VOXELWISE: tuple[Step, ...] = VOXELWISE_STEPS
#: A segmentation drawn on the template: taken over, measured in every run, tables and statistics of it.
TEMPLATE_DRAWING: tuple[Step, ...] = DRAWING_STEPS
TEMPLATE_DRAWN: tuple[Step, ...] = DRAWN_STEPS
TEMPLATE_TABLES: tuple[Step, ...] = DRAWN_TABLE_STEPS
