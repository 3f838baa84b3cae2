"""The step that fits the user's model to every voxel of all participants' maps in a common space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bids_app.derivatives.files import read_image
from bids_app.errors import QsmAppError
from bids_app.group import tables, voxelwise
from bids_app.group.adequacy import MIN_DF, caution, min_participants
from bids_app.group.clusters import clusters, peak
from bids_app.group.table_checks import listings
from bids_app.group.values import Values, in_mask
from bids_app.model.records import Record
from bids_app.model.sections import VoxelwiseChoices
from bids_app.model.settings import Settings
from bids_app.model.step import Output, Step, StepInput, StepResult
from bids_app.model.template import NormalizedRun, Voxelwise
from bids_app.steps.group.normalized import OPTIONAL_MAPS
from bids_app.steps.participant.segmentations import regions_in

Mask = npt.NDArray[np.bool_]
Affine = npt.NDArray[np.float64]
#: Labels of the fused segmentation, and the regions' names by label.
Atlas = tuple[npt.NDArray[np.int64] | None, dict[int, str]]

#: The warning about voxels that somebody lacks comes below this part of the group's mask.
_ENOUGH = 0.9


def fit(step: StepInput[Voxelwise]) -> StepResult:
    """Fit the model to every voxel, and threshold the maps."""
    choice, formula = step.settings.voxelwise.choice, step.settings.statistics.choice.model
    response, labels = voxelwise.terms_of(formula)
    small_groups = step.settings.statistics.choice.small_groups
    model = voxelwise.design(formula, _covariates(step), min_participants(small_groups), MIN_DF)
    if "mask_group" not in step.inputs:
        raise QsmAppError("there are no average maps, and so no mask of the group")
    group, affine = read_image(step.inputs["mask_group"])
    values = _values(step, response, model.people, group.shape, affine)
    tested, warnings = _tested(values, group > 0, model.people)
    stored = values.store(tested, step.work_dir / "values.f32")
    columns = {label: model.columns_of(term) for label, term in labels.items()}
    wanted = [column for chosen in columns.values() for column in chosen]
    exact = voxelwise.exact(stored, model)
    maps = voxelwise.fit(stored, model, wanted, choice.permutations, choice.seed, step.progress, without=exact)
    if exact.any():
        warnings.append(f"{int(exact.sum())} voxels have almost no residual and are not tested: t would have no bounds")
    is_tested = tested.copy()
    is_tested[tested] = ~exact
    outputs: dict[str, Output] = {"mask_voxelwise": Output(is_tested, affine=affine)}
    rows: list[dict[str, object]] = []
    clusters: list[dict[str, object]] = []
    atlas = _atlas(step)
    for label, numbers in columns.items():
        fitted = tuple(maps[number] for number in numbers)
        cuts = tuple(voxelwise.thresholds(coefficient, model.df, choice.fdr, choice.fwe) for coefficient in fitted)
        contrast = _Contrast(label, tuple(numbers), fitted, cuts, response, model)
        images = contrast.images(choice)
        outputs |= contrast.outputs(images, formula, tested, affine)
        rows += [row | {"voxels": int(is_tested.sum())} for row in contrast.rows(images, choice, tested, affine)]
        clusters += contrast.clusters(images, tested, affine, atlas)
    outputs |= {"voxelwise": Output(rows=rows), "voxelwise_clusters": Output(rows=clusters)}
    warnings += [*_too_few(choice.permutations, choice.fwe), *filter(None, [caution(len(model.people), model.df)])]
    if model.left_out:
        names = ", ".join(f"sub-{person}" for person in model.left_out[:10])
        warnings.append(f"{len(model.left_out)} participants lack a value of the model and are left out of it: {names}")
    metrics: dict[str, object] = {
        str(row["term"]): {"fdr_voxels": row["fdr_voxels"], "fwe_voxels": row["fwe_voxels"]} for row in rows
    }
    metrics |= {"voxels": int(is_tested.sum()), "space": step.record.space.template}
    methods = ("ols", "fdr", *(["permutation"] if choice.permutations else []))
    return StepResult(outputs, metrics, tuple(warnings), methods)


@dataclass(frozen=True)
class _Contrast:
    """One term of the model: its coefficients and their maps, one volume each."""

    label: str
    numbers: tuple[int, ...]  # columns of the design
    maps: tuple[voxelwise.Maps, ...]
    #: Thresholds of t by false discovery rate and family-wise error rate, of each coefficient.
    cuts: tuple[tuple[float | None, float | None], ...]
    response: str
    model: voxelwise.Design

    def images(self, choice: VoxelwiseChoices) -> dict[str, npt.NDArray[np.float32]]:
        """Return the values in the tested voxels, ``[coefficient, voxel]``, by the name of the map."""
        images = {
            name: np.stack([getattr(coefficient, name) for coefficient in self.maps])
            for name in ("effect", "t", "z", "logp")
        }
        for place, name in enumerate(("fdr", "fwe")):
            parts = [
                voxelwise.cut_at(coefficient.t, cut[place])
                for coefficient, cut in zip(self.maps, self.cuts, strict=True)
            ]
            images[name] = np.stack(parts)
        if choice.permutations:
            images["logpfwe"] = np.stack([np.asarray(coefficient.logpfwe) for coefficient in self.maps])
        return images

    def outputs(
        self, images: Mapping[str, npt.NDArray[np.float32]], formula: str, tested: Mask, affine: Affine
    ) -> dict[str, Output]:
        """Return the maps as products."""
        facts = {
            "Model": formula,
            "Volumes": [self.model.names[number] for number in self.numbers],
            "DegreesOfFreedom": self.model.df,
            "Participants": [f"sub-{person}" for person in self.model.people],
        }
        unit = {"Units": "1/s" if self.response == "r2star" else "ppm"}
        return {
            f"stat_{name}@{self.label}": Output(
                in_mask(flat, tested), affine=affine, sidecar=facts | (unit if name == "effect" else {})
            )
            for name, flat in images.items()
        }

    def _key(self, volume: int) -> dict[str, object]:
        return {"contrast": self.label, "volume": volume, "term": self.model.names[self.numbers[volume]]}

    def rows(
        self, images: Mapping[str, npt.NDArray[np.float32]], choice: VoxelwiseChoices, tested: Mask, affine: Affine
    ) -> list[dict[str, object]]:
        """Return one row for each coefficient: thresholds, and how many voxels are beyond them."""
        return [
            {
                **self._key(volume),
                "response": self.response,
                "participants": len(self.model.people),
                "df": self.model.df,
                "voxels": int(tested.sum()),
                "fdr_level": choice.fdr,
                "fdr_threshold": fdr,
                "fdr_voxels": int((images["fdr"][volume] != 0).sum()),
                "fwe_level": choice.fwe,
                "fwe_method": "permutation" if choice.permutations else "bonferroni",
                "permutations": choice.permutations,
                "fwe_threshold": fwe,
                "fwe_voxels": int((images["fwe"][volume] != 0).sum()),
                **peak(in_mask(coefficient.t, tested), affine),
            }
            for volume, (coefficient, (fdr, fwe)) in enumerate(zip(self.maps, self.cuts, strict=True))
        ]

    def clusters(
        self, images: Mapping[str, npt.NDArray[np.float32]], tested: Mask, affine: Affine, atlas: Atlas
    ) -> list[dict[str, object]]:
        """Return the clusters of every thresholded map; a map without any has one empty row."""
        listed: list[dict[str, object]] = []
        for volume in range(len(self.numbers)):
            for correction in ("fdr", "fwe"):
                rows = clusters(in_mask(images[correction][volume], tested), affine, *atlas) or [_NO_CLUSTER]
                key = {**self._key(volume), "correction": correction, "df": self.model.df}
                listed += [{**key, **row} for row in rows]
        return listed


#: The line of a map without any cluster.
_NO_CLUSTER: dict[str, object] = {
    "cluster": 0,
    "voxels": 0,
    "volume_mm3": 0.0,
    "region": None,
    "region_fraction": None,
    "peak_t": None,
    "peak_x": None,
    "peak_y": None,
    "peak_z": None,
}


def _too_few(permutations: int, fwe: float) -> list[str]:
    if not permutations or (1 + permutations) * fwe >= 1:
        return []
    return [
        f"{permutations} permutations cannot reach a family-wise error rate of {fwe:g}: "
        f"{int(np.ceil(1 / fwe)) - 1} are needed at least"
    ]


def _covariates(step: StepInput[Voxelwise]) -> dict[str, dict[str, object]]:
    """Return the covariates of every participant who has a map."""
    record = step.record
    files = [path for name, path in step.inputs.items() if name.startswith("sessions@")]
    known = tables.read_covariates(step.inputs.get("participants"), files, ())
    rows: dict[str, list[dict[str, object]]] = {}
    for run in record.space.runs:
        if f"chimap@{run.basename}" in step.inputs:
            keys = tables.Run(run.run.subject, run.run.session, run.run.basename)
            rows.setdefault(run.run.subject, []).append(known.of(keys))
    return {subject: voxelwise.average_covariates(covariates) for subject, covariates in rows.items()}


def _values(
    step: StepInput[Voxelwise], response: str, people: tuple[str, ...], shape: Sequence[int], affine: Affine
) -> Values:
    key = {"chi": "chimap"}.get(response, response)
    runs: dict[str, list[tuple[Path, Path]]] = {subject: [] for subject in people}
    for run in step.record.space.runs:
        paths = [step.inputs.get(f"{what}@{run.basename}") for what in (key, "mask")]
        if run.run.subject in runs and paths[0] is not None and paths[1] is not None:
            runs[run.run.subject].append((paths[0], paths[1]))
    lost = [f"sub-{subject}" for subject, pairs in runs.items() if not pairs]
    if lost:
        raise QsmAppError(f"the voxel-wise model needs a map of {response} of everybody; {', '.join(lost)} have none")
    size = float(np.mean(np.linalg.norm(affine[:3, :3], axis=0)))
    return Values(runs, tuple(shape), step.settings.voxelwise.choice.smoothing / size)


def _tested(values: Values, group: Mask, people: tuple[str, ...]) -> tuple[Mask, list[str]]:
    """Return the voxels of the group's mask where everybody has a value, and a warning if many are lost."""
    tested, lacking = group.copy(), {}
    for person, (_, valid) in zip(people, values.each(), strict=True):
        lacking[person] = int((group & ~valid).sum())
        tested &= valid
    if not tested.any():
        raise QsmAppError("there is no voxel where all participants of the model have a value")
    part = float(tested.sum() / group.sum())
    if part >= _ENOUGH:
        return tested, []
    worst = max(lacking, key=lambda person: lacking[person])
    return tested, [
        f"{part:.0%} of the group's mask are tested, the rest lacks a value in somebody; sub-{worst} lacks most "
        f"({lacking[worst] / group.sum():.0%})"
    ]


def _atlas(step: StepInput[Voxelwise]) -> Atlas:
    path = step.inputs.get("labels")
    if path is None:
        return None, {}
    return np.rint(read_image(path)[0]).astype(int), {r.index: r.words for r in regions_in(path).values()}


def _inputs(record: Voxelwise, settings: Settings) -> dict[str, tuple[Record, str]]:
    space = record.space
    inputs: dict[str, tuple[Record, str]] = {"mask_group": (space, "mask_group")}
    for run in space.runs:
        inputs |= {f"{key}@{run.basename}": (run, f"space_{key}@{space.template}") for key in _maps_of(run)}
    labels = space.keys_of("dseg_gre@")
    if labels:
        inputs["labels"] = (space, f"dseg_template@{labels[0].partition('@')[2]}")
    return inputs


def _maps_of(run: NormalizedRun) -> tuple[str, ...]:
    return ("chimap", "mask", *(key for key in OPTIONAL_MAPS if key in run.run.made))


def _listings(record: Voxelwise, settings: Settings) -> dict[str, Path]:
    return listings(record.participants, record.sessions)


def _keys(record: Voxelwise, settings: Settings) -> tuple[str, ...]:
    choice = settings.voxelwise.choice
    if not choice.run:
        return ()
    _, labels = voxelwise.terms_of(settings.statistics.choice.model)
    maps = ("effect", "t", "z", "logp", "fdr", "fwe", *(["logpfwe"] if choice.permutations else []))
    named = tuple(f"stat_{name}@{label}" for label in labels for name in maps)
    return ("mask_voxelwise", "voxelwise", "voxelwise_clusters", *named)


VOXELWISE_STEPS = (
    Step(
        "voxelwise",
        "Model of every voxel",
        fit,
        reads=("statistics", "voxelwise"),
        sources=_listings,
        collects=_inputs,
        makes=_keys,
        memory=lambda record, settings: 3_000_000_000,
    ),
)
