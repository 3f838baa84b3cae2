"""The stages of the template: which records there are, from the cohort and the settings."""

from dataclasses import replace
from pathlib import Path

from bids_app import steps
from bids_app.dataset.template import space_files, template_files
from bids_app.engine.graph import AnyStage, stage
from bids_app.engine.manual_segmentation import manual_segmentation_of
from bids_app.errors import UsageError
from bids_app.model.cohort import Cohort
from bids_app.model.context import Context
from bids_app.model.group_run import GroupRun
from bids_app.model.settings import Settings
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

#: Images of a template by name.
Files = tuple[tuple[str, Path], ...]


def template_stages(cohort: Cohort, settings: Settings, context: Context) -> list[AnyStage]:
    """Return the stages of the template; none where there is none, or one person alone to build it from.

    Raises
    ------
    UsageError, InputRefusedError
        If a template, an output space or a manual segmentation that the settings name cannot be used.
    """
    choice = settings.group.choice
    runs: dict[str, list[GroupRun]] = {}
    for run in cohort.runs:
        runs.setdefault(run.subject, []).append(run)
    subjects = tuple(TemplateSubject(label, tuple(runs_of_subject)) for label, runs_of_subject in runs.items())
    if choice.template == "none" or (choice.template == "build" and len(subjects) < 2):
        return []
    stages = [stage("subjects", steps.template_subject_steps, subjects)]
    iterations: tuple[Iteration, ...] = ()
    target: Iteration | None = None
    files: Files = ()
    if choice.template == "build":
        iterations = _iterations(choice.name, choice.linear_iterations, choice.syn_iterations, subjects)
        name, target = choice.name, iterations[-1]
        # What one affine registration each would give is made with the first iteration, for comparison.
        single = (Iteration(name, 1, "single", subjects, iterations[0]),) if choice.single_pass else ()
        stages += _iteration_stages(iterations, single)
        iterations += single
    else:
        name, files = template_files(choice.template)
    final = {subject.label: Registration(subject, target, "final", f"to{name}", files=files) for subject in subjects}
    stages.append(stage("register-template", steps.template_registration_steps, tuple(final.values())))
    space = Space(name, tuple(NormalizedRun(run, final[run.subject], name) for run in cohort.runs), iterations)
    stages += _map_stages(space, "")
    if choice.dseg:
        plain = ManualSegmentation("", Path(), None, name, target, files)
        stages += _manual_stages(cohort, settings, context, space, plain)
    if choice.output_space:
        standard, space = _standard_space(choice.output_space, space, target, files)
        stages.append(stage("register-space", steps.template_standard_space_steps, (standard,)))
        stages += _map_stages(space, "-space")
    if settings.voxelwise.choice.run:
        model = Voxelwise(space, cohort.participants, cohort.sessions)
        stages.append(stage("voxelwise", steps.template_voxelwise_steps, (model,)))
    return stages


def _iterations(name: str, linear: int, syn: int, subjects: tuple[TemplateSubject, ...]) -> tuple[Iteration, ...]:
    """Return the averages in order: centres of mass, rigid, affine, SyN."""
    kinds = ["start", *["rigid", *["affine"] * (linear - 1)], *["syn"] * syn]
    made: list[Iteration] = []
    for number, kind in enumerate(kinds):
        before = made[-1] if made else None
        start = before if before is None or before.kind in ("rigid", "affine") else before.start
        start = None if start is None or start.kind == "start" else start
        made.append(Iteration(name, number, kind, subjects, before, number == len(kinds) - 1, start))
    return tuple(made)


def _iteration_stages(iterations: tuple[Iteration, ...], single: tuple[Iteration, ...]) -> list[AnyStage]:
    """Return two stages for each iteration: everybody's registration, and the average."""
    stages: list[AnyStage] = []
    for iteration in iterations:
        averages = (iteration, *(single if iteration.number == 1 else ()))
        if iteration.before is not None:
            records = tuple(average.registration(subject) for average in averages for subject in average.subjects)
            stages.append(stage(f"register-{iteration.number}", steps.template_registration_steps, records))
        stages.append(stage(f"average-{iteration.number}", steps.template_average_steps, averages))
    return stages


def _map_stages(space: Space, suffix: str) -> list[AnyStage]:
    """Return the stages that bring every run's maps to a space and average them."""
    return [
        stage(f"maps{suffix}", steps.template_run_steps, space.runs),
        stage(f"average-maps{suffix}", steps.template_map_steps, (space,)),
    ]


def _manual_stages(
    cohort: Cohort, settings: Settings, context: Context, space: Space, plain: ManualSegmentation
) -> list[AnyStage]:
    """Return the stages of a manual segmentation of the template."""
    choice = settings.group.choice
    labels = Path(choice.labels) if choice.labels else None
    segmentation = manual_segmentation_of(Path(choice.dseg), labels, cohort, plain, context)
    runs = tuple(ManualSegmentationRun(run, segmentation) for run in space.runs)
    return [
        stage("manual-segmentation", steps.template_manual_steps, (segmentation,)),
        stage("manual-regions", steps.template_manual_run_steps, runs),
        stage("manual-tables", steps.template_manual_table_steps, (replace(cohort, manual=runs),)),
    ]


def _standard_space(spec: str, space: Space, target: Iteration | None, files: Files) -> tuple[StandardSpace, Space]:
    """Return the template's registration to an output space, and all runs there."""
    name, images = space_files(spec)
    if name == space.template:
        raise UsageError(f"--output-space {spec}: the maps are in that space already, by --template")
    standard = StandardSpace(space.template, name, images, target, files)
    return standard, Space(name, tuple(NormalizedRun(r.run, r.registration, name, standard) for r in space.runs))
