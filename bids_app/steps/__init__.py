"""The pipeline: reading the tuples below is reading what happens, in order."""

from bids_app.model.cohort import Cohort
from bids_app.model.records import Anatomical, GreRun
from bids_app.model.step import Step
from bids_app.model.template import (
    Iteration,
    ManualSegmentation,
    ManualSegmentationRun,
    NormalizedRun,
    Registration,
    Space,
    StandardSpace,
    TemplateSubject,
    Voxelwise,
)
from bids_app.steps.group.fit import FIT_STEPS
from bids_app.steps.group.manual_segmentation import MANUAL_RUN_STEPS, MANUAL_STEPS
from bids_app.steps.group.normalized import AVERAGE_MAP_STEPS, SPACE_STEPS
from bids_app.steps.group.standard_space import STANDARD_SPACE_STEPS
from bids_app.steps.group.tables import COHORT_STEPS, MANUAL_TABLE_STEPS
from bids_app.steps.group.template import AVERAGE_STEPS, REGISTER_STEPS
from bids_app.steps.group.template_subject import SUBJECT_STEPS
from bids_app.steps.group.voxelwise import VOXELWISE_STEPS
from bids_app.steps.participant import given
from bids_app.steps.participant.anatomy import ATLAS, FASTSURFER, T1W
from bids_app.steps.participant.background import BACKGROUND
from bids_app.steps.participant.brain_extraction import BRAIN_EXTRACTION
from bids_app.steps.participant.coils import COILS
from bids_app.steps.participant.field import FIELD
from bids_app.steps.participant.given_mask import GIVEN_MASK
from bids_app.steps.participant.inversion import INVERSION
from bids_app.steps.participant.mask import MASKS
from bids_app.steps.participant.null_space_trend import NULL_SPACE_TREND
from bids_app.steps.participant.phase import PHASE
from bids_app.steps.participant.quality import QUALITY
from bids_app.steps.participant.r2prime import R2PRIME
from bids_app.steps.participant.reference import REFERENCE
from bids_app.steps.participant.regions import BRAIN, LABELS, TABLES
from bids_app.steps.participant.registration import ATLAS_TO_GRE, REGISTRATION
from bids_app.steps.participant.relaxometry import RELAXOMETRY
from bids_app.steps.participant.separation import SEPARATION
from bids_app.steps.participant.slices import SLICES
from bids_app.steps.participant.spin_echo import SPIN_ECHO
from bids_app.steps.participant.swi import SWI

#: Steps over one anatomical image, before the runs that use it.
ANATOMICAL: tuple[Step[Anatomical], ...] = (T1W, FASTSURFER, ATLAS)

#: Steps over one gradient-echo run. Those of ``given`` replace others where another dataset has their products.
PARTICIPANT: tuple[Step[GreRun], ...] = (
    COILS,
    SLICES,
    PHASE,
    FIELD,
    given.BASIS,
    given.TOTAL_FIELD,
    REGISTRATION,
    ATLAS_TO_GRE,
    BRAIN,
    GIVEN_MASK,
    BRAIN_EXTRACTION,
    MASKS,
    BACKGROUND,
    given.LOCAL_FIELD,
    INVERSION,
    NULL_SPACE_TREND,
    given.CHIMAP,
    RELAXOMETRY,
    given.R2STAR,
    SPIN_ECHO,
    given.R2,
    R2PRIME,
    given.R2PRIME,
    *LABELS,
    REFERENCE,
    SWI,
    SEPARATION,
    QUALITY,
    *TABLES,
)

#: Steps over all participants: tables and statistics.
GROUP: tuple[Step[Cohort], ...] = COHORT_STEPS


# The engine finds the steps of a stage by the functions below, which are sent to other processes by their names.


def anatomical_steps() -> tuple[Step[Anatomical], ...]:
    """Return the steps over one anatomical image."""
    return ANATOMICAL


def participant_steps() -> tuple[Step[GreRun], ...]:
    """Return the steps over one gradient-echo run."""
    return PARTICIPANT


def group_steps() -> tuple[Step[Cohort], ...]:
    """Return the steps over all participants."""
    return GROUP


def template_subject_steps() -> tuple[Step[TemplateSubject], ...]:
    """Return the steps that prepare a participant for the template."""
    return SUBJECT_STEPS


def template_registration_steps() -> tuple[Step[Registration], ...]:
    """Return the steps of one registration of a participant."""
    return REGISTER_STEPS


def template_average_steps() -> tuple[Step[Iteration], ...]:
    """Return the steps of one average of the template."""
    return AVERAGE_STEPS


def template_run_steps() -> tuple[Step[NormalizedRun], ...]:
    """Return the steps that bring a run to the space of the template, or to a standard space."""
    return SPACE_STEPS


def template_map_steps() -> tuple[Step[Space], ...]:
    """Return the steps over all runs in one space: average maps, and how well each run fits them."""
    return AVERAGE_MAP_STEPS + FIT_STEPS


def template_standard_space_steps() -> tuple[Step[StandardSpace], ...]:
    """Return the steps that bring the template to a standard space."""
    return STANDARD_SPACE_STEPS


def template_voxelwise_steps() -> tuple[Step[Voxelwise], ...]:
    """Return the steps of the voxel-wise model."""
    return VOXELWISE_STEPS


def template_manual_steps() -> tuple[Step[ManualSegmentation], ...]:
    """Return the steps that take over a manual segmentation of the template."""
    return MANUAL_STEPS


def template_manual_run_steps() -> tuple[Step[ManualSegmentationRun], ...]:
    """Return the steps that measure a manual segmentation in one run."""
    return MANUAL_RUN_STEPS


def template_manual_table_steps() -> tuple[Step[Cohort], ...]:
    """Return the steps that make tables and statistics of a manual segmentation."""
    return MANUAL_TABLE_STEPS
