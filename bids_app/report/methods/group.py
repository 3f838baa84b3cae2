"""The methods text of the group level, from what really ran there: a paragraph for every part of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from bids_app import __version__
from bids_app.model.step_record import JsonObject, StepRecord
from bids_app.report.group.tables import table_of
from bids_app.report.methods.text import Methods, libraries
from bids_app.report.participant.collect import Run, spaces_of

#: What is said of a method that the model of every region records.
GROUP_SENTENCES: dict[str, str] = {
    "ols": "The model “{model}” was fitted to every region by ordinary least squares.",
    "mixed": "The model “{model}” was fitted to every region with a random intercept of every participant by "
    "restricted maximum likelihood [laird1982], with degrees of freedom divided between and within participants "
    "[schluchter1990].",
    "fdr": "Intervals are given at {confidence:g} % confidence; p values were corrected over regions for a false "
    "discovery rate of {fdr:g} [benjamini1995].",
}
#: Methods of the model of every voxel, whose sentences need more than parameters.
VOXELWISE_METHODS = ("ols", "fdr", "permutation")


@dataclass(frozen=True)
class GroupRecords:
    """What ran at the group level.

    ``cohorts`` are the records of the tables: of the participants' own segmentations, then of a manual one;
    ``template`` those of every average, space and model in a space; ``registrations`` those of one participant's images
    and registrations (all participants' are alike); ``counts`` the number of runs by their state.
    """

    cohorts: Sequence[Run]
    template: Sequence[Run]
    registrations: Sequence[Run]
    counts: Mapping[str, int]
    repeated: bool = False  # whether anybody has several runs

    def of(self, step: str) -> StepRecord | None:
        """Return the first record of a step, None where it did not run."""
        runs = (*self.cohorts, *self.template, *self.registrations)
        return next((run.records[step] for run in runs if step in run.records), None)

    def methods_of(self, step: str) -> tuple[str, ...]:
        """Return the methods of the first record of a step, none where it did not run."""
        record = self.of(step)
        return () if record is None else record.methods

    def has_channel(self, name: str) -> bool:
        """Return whether an image of this contrast was prepared of every participant."""
        subject = self.of("subject")
        channels = None if subject is None else subject.metrics.get("channels")
        return isinstance(channels, list | tuple) and name in channels


def group_methods_text(records: GroupRecords) -> Methods:
    """Return the text of the group level; what did not run is not in it."""
    paragraphs = [
        _who(records.counts),
        _template(records),
        _maps(records),
        _manual_segmentation(records),
        _regions(records),
        _voxelwise(records),
        _software(records),
    ]
    model, voxelwise = records.methods_of("model"), records.methods_of("voxelwise")
    unknown = [key for key in model if key not in GROUP_SENTENCES]
    unknown += [key for key in voxelwise if key not in VOXELWISE_METHODS]
    missing = [f"a sentence on the method {key}" for key in dict.fromkeys(unknown)]
    return Methods(tuple(text for text in paragraphs if text), tuple(missing))


def _who(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    complete = counts.get("found", 0)
    others = ", ".join(f"{number} {status}" for status, number in counts.items() if status != "found" and number)
    rest = f" ({others})" if others else ""
    return (
        f"{complete} of {sum(counts.values())} gradient-echo runs had complete susceptibility maps and regional "
        f"values{rest}."
    )


def _template(records: GroupRecords) -> str:
    averages = [run.records["average"] for run in records.template if "average" in run.records]
    registered = [run.records["register"] for run in records.registrations if "register" in run.records]
    if not averages and not registered:
        return ""
    choice = next((r.section("template") for r in [*averages, *registered] if r.section("template")), {})
    both = records.has_channel("t1w")
    return " ".join(filter(None, [_images(records), _built(records, averages), _settings(choice, averages, both)]))


def _images(records: GroupRecords) -> str:
    """Return what was done to a participant's images before they were registered."""
    text = []
    if "n4" in records.methods_of("subject"):
        text.append(
            "The combined magnitude was corrected for intensity inhomogeneity by N4 [tustison2010] and scaled to a "
            "median of 1 in the head."
        )
    if records.has_channel("t1w"):
        text.append("The T1-weighted images, corrected in the same way, were brought to the magnitude of their runs.")
    if records.repeated and records.of("subject") is not None:
        text.append("Several runs of a participant were aligned rigidly at their mean position and averaged.")
    return " ".join(text)


def _built(records: GroupRecords, averages: Sequence[StepRecord]) -> str:
    if not averages:
        return "Participants were registered to the given template rigidly, affinely and by SyN (ANTs) [avants2008]."
    participants = max(int(record.number("participants") or 0) for record in averages)
    kinds = [row["kind"] for row in table_of(records.template, "convergence")]
    said = [
        f"{kinds.count(kind)} {'iteration' if kinds.count(kind) == 1 else 'iterations'} of {name}"
        for kind, name in (
            ("rigid", "rigid registration"),
            ("affine", "affine registration"),
            ("syn", "non-linear registration (SyN, ANTs, local correlation) [avants2008]"),
        )
        if kind in kinds
    ]
    return (
        f"An unbiased template was built from {participants} participants, from the centres of mass in "
        f"{', '.join(said)}; each average was brought to the mean shape of the group by the inverse of the mean map "
        "[guimond2000; avants2010]."
    )


def _settings(choice: JsonObject, averages: Sequence[StepRecord], both: bool) -> str:
    """Return the parameters; ``both`` says whether T1-weighted images were registered in addition to the magnitude."""
    if not choice:
        return ""
    fine = "/".join(str(choice.get(f"syn_{level}")) for level in ("coarse", "middle", "fine"))
    text = (
        f"The template has voxels of {choice.get('resolution'):g} mm; images were registered on voxels of "
        f"{choice.get('registration_resolution'):g} mm, by SyN with {fine} iterations from coarse to fine"
    )
    if both:
        weight = choice.get("magnitude_weight")
        text += f" and a weight of {weight:g} of the magnitude against the T1-weighted image's 1"
    if averages and choice.get("sharpening"):
        text += f"; every average was sharpened by an unsharp mask ({choice['sharpening']:g})"
    return f"{text}."


def _maps(records: GroupRecords) -> str:
    text = []
    for name, runs in spaces_of(records.template).items():
        registered = next(
            (
                run.records["standard_space"]
                for run in records.template
                if run.basename.endswith(f"_to{name}") and "standard_space" in run.records
            ),
            None,
        )
        if registered is not None:
            overlap = registered.number("overlap_dice")
            judged = f" (overlap of the heads {overlap:.2f}, Dice)" if overlap is not None else ""
            text.append(
                f"The template was registered to {name} of TemplateFlow [ciric2022] rigidly, affinely and by SyN "
                f"[avants2008]{judged}."
            )
        maps = next((run.records["maps"] for run in runs if "maps" in run.records), None)
        if maps is None:
            continue
        people = maps.metrics.get("participants")
        text.append(
            f"Maps were brought to the space of {'the template' if registered is None else name} by one linear "
            f"interpolation through all transforms composed, and averaged over {people} participants where half of "
            "them at least have a valid value."
        )
        labels = [key.partition("@")[2] for run in runs for key in run.keys("dseg_template@")]
        if labels:
            text.append(f"Segmentations ({', '.join(labels)}) were fused by majority there.")
    return " ".join(text)


def _manual_segmentation(records: GroupRecords) -> str:
    """Return what was done with a manual segmentation of the template."""
    segmentation, measured = records.of("manual_segmentation"), records.of("manual_regions")
    if segmentation is None or measured is None:
        return ""
    name = next(iter(segmentation.paths), "").partition("@")[2]
    erosion = measured.section("regions").get("erosion", 0)
    eroded = f" after erosion by {erosion} voxels" if erosion else ""
    return (
        f"A manual segmentation of the template ({name}, {segmentation.metrics.get('labels')} regions) was "
        "brought to the grid of every run through the inverse transforms, in one interpolation for labels; its regions "
        f"were measured in every run's own map and in the space of the template{eroded}."
    )


def _regions(records: GroupRecords) -> str:
    choice: dict[str, object] = {}
    methods: list[str] = []
    for cohort in records.cohorts:
        for step in ("outliers", "model"):
            choice |= cohort.parameters(step).get("statistics", {})
        model = cohort.records.get("model")
        methods += () if model is None else model.methods
    text = []
    if records.of("outliers") is not None:
        text.append(
            f"Regional values with a robust z score beyond {choice.get('outlier_z', 3.5):g} (distance from the median "
            "over 1.4826 times the median absolute deviation [leys2013]) were flagged and not removed."
        )
    said = {
        "model": choice.get("model", ""),
        "confidence": 100 * _value(choice, "confidence", 0.95),
        "fdr": choice.get("fdr", 0.05),
    }
    text += [GROUP_SENTENCES[key].format(**said) for key in dict.fromkeys(methods) if key in GROUP_SENTENCES]
    return " ".join(text)


def _value(choice: JsonObject, name: str, default: float) -> float:
    value = choice.get(name, default)
    return value if isinstance(value, int | float) else default


def _voxelwise(records: GroupRecords) -> str:
    """Return what was fitted to the voxels of every space where that was done."""
    return " ".join(_voxelwise_in(run, records.repeated) for run in records.template if "voxelwise" in run.records)


def _voxelwise_in(run: Run, repeated: bool) -> str:
    record = run.records["voxelwise"]
    choice, metrics = record.section("voxelwise"), record.metrics
    model = record.section("statistics").get("model", "")
    rows = table_of([run], "voxelwise")
    people = f" of {rows[0]['participants']} participants ({rows[0].get('df')} degrees of freedom)" if rows else ""
    smoothed = f", smoothed by a Gaussian of {choice['smoothing']:g} mm (FWHM)," if choice.get("smoothing") else ""
    sessions = " Sessions of a participant were averaged." if repeated else ""
    if "permutation" in record.methods:
        family = (
            f"by the largest t of {choice.get('permutations')} permutations [freedman1983; nichols2002] "
            f"(seed {choice.get('seed')})"
        )
    else:
        family = "by Bonferroni's correction"
    return (
        f"The model “{model}” was fitted by ordinary least squares (nilearn [abraham2014]) to every voxel of the maps"
        f"{people}{smoothed} in the space of the template {metrics.get('space')}: {metrics.get('voxels')} voxels where "
        f"everybody has a value.{sessions} Maps of t were thresholded at a false discovery rate of "
        f"{choice.get('fdr'):g} over voxels [benjamini1995] and at a family-wise error rate of {choice.get('fwe'):g} "
        f"{family}."
    )


def _software(records: GroupRecords) -> str:
    runs = (*records.cohorts, *records.template)
    versions = sorted({r.code_version or __version__ for run in runs for r in run.records.values()})
    used = [
        *(["statsmodels"] if records.of("model") else []),
        *(["nilearn"] if records.of("voxelwise") else []),
        *(["antspyx"] if records.of("register") or records.of("standard_space") else []),
    ]
    with_others = f" with {libraries(*used)}" if used else ""
    return (
        f"Group analysis was done by qsm-bids-app {', '.join(versions) or __version__}, a BIDS App "
        f"[gorgolewski2017]{with_others}."
    )
