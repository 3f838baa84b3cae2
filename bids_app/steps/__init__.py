"""The pipeline: reading the tuples below is reading what happens, in order."""

from bids_app.model.step import Step
from bids_app.steps.group.fit import FIT_STEPS
from bids_app.steps.group.manual_segmentation import MANUAL_RUN_STEPS, MANUAL_STEPS
from bids_app.steps.group.normalized import AVERAGE_MAP_STEPS, SPACE_STEPS
from bids_app.steps.group.standard_space import STANDARD_SPACE_STEPS
from bids_app.steps.group.tables import COHORT_STEPS, MANUAL_TABLE_STEPS
from bids_app.steps.group.template import AVERAGE_STEPS, REGISTER_STEPS, SUBJECT_STEPS
from bids_app.steps.group.voxelwise import VOXELWISE_STEPS
from bids_app.steps.participant.anatomy import ATLAS, FASTSURFER, T1W
from bids_app.steps.participant.background import BACKGROUND
from bids_app.steps.participant.coils import COILS
from bids_app.steps.participant.field import FIELD
from bids_app.steps.participant.inversion import INVERSION
from bids_app.steps.participant.mask import MASKS
from bids_app.steps.participant.null_space_trend import NULL_SPACE_TREND
from bids_app.steps.participant.phase import PHASE
from bids_app.steps.participant.quality import QUALITY
from bids_app.steps.participant.reference import REFERENCE
from bids_app.steps.participant.regions import BRAIN, LABELS, TABLES
from bids_app.steps.participant.registration import ATLAS_TO_GRE, REGISTRATION
from bids_app.steps.participant.relaxometry import RELAXOMETRY
from bids_app.steps.participant.swi import SWI

#: Steps over one anatomical image (``Anatomical``), before the runs that use it.
ANATOMICAL: tuple[Step, ...] = (T1W, FASTSURFER, ATLAS)

#: Steps over one gradient-echo run (``GreRun``).
PARTICIPANT: tuple[Step, ...] = (
    COILS,
    PHASE,
    FIELD,
    REGISTRATION,
    ATLAS_TO_GRE,
    BRAIN,
    MASKS,
    BACKGROUND,
    INVERSION,
    NULL_SPACE_TREND,
    RELAXOMETRY,
    SWI,
    *LABELS,
    REFERENCE,
    QUALITY,
    *TABLES,
)

#: Steps over all participants (``Cohort``): tables and statistics.
GROUP: tuple[Step, ...] = COHORT_STEPS

#: Steps of the template, each over a record of its own: a participant, one registration of it, one average, a run in
#: the template's space, all of them.
TEMPLATE_SUBJECT: tuple[Step, ...] = SUBJECT_STEPS
TEMPLATE_REGISTRATION: tuple[Step, ...] = REGISTER_STEPS
TEMPLATE_AVERAGE: tuple[Step, ...] = AVERAGE_STEPS
TEMPLATE_RUN: tuple[Step, ...] = SPACE_STEPS
TEMPLATE_MAPS: tuple[Step, ...] = AVERAGE_MAP_STEPS + FIT_STEPS
TEMPLATE_STANDARD_SPACE: tuple[Step, ...] = STANDARD_SPACE_STEPS
TEMPLATE_VOXELWISE: tuple[Step, ...] = VOXELWISE_STEPS
#: A segmentation drawn on the template: taken over, measured in every run, tables and statistics of it.
TEMPLATE_MANUAL: tuple[Step, ...] = MANUAL_STEPS
TEMPLATE_MANUAL_RUN: tuple[Step, ...] = MANUAL_RUN_STEPS
TEMPLATE_TABLES: tuple[Step, ...] = MANUAL_TABLE_STEPS
