"""The methods text: from what really ran (records), ready for a paper, with its references.

The order follows what the consensus on susceptibility mapping asks authors to report (Bilgic et al. 2024,
10.1002/mrm.30006): acquisition, phase processing, masks, background, inversion, reference, analysis, software. What the
data do not state is named, so that nobody takes it for stated.
"""

import platform
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib import metadata

from bids_app import __version__
from bids_app.model.json_values import JsonObject, JsonValue
from bids_app.model.step_record import StepRecord
from bids_app.qsm.method import PARAMETERS
from bids_app.qsm.registry import BY_KEY, AnyMethod
from bids_app.report.methods.acquisition import items
from bids_app.report.methods.given import imported, mask_sentences
from bids_app.report.methods.references import REFERENCES, Reference
from bids_app.report.participant.collect import Run

#: Sentences about what other tools and the chain itself did, by the key that a step records. ``[key]`` cites.
_OTHER_SENTENCES: dict[str, str] = {
    "coils_echoes": "Images of single receive coils were combined after removal of the coils' own phases, which were "
    "estimated from the first two echoes and smoothed [eckstein2018].",
    "coils_reference": "Images of single receive coils were combined after removal of the coils' own phases, which "
    "were estimated against a virtual reference coil and smoothed [parker2014].",
    "per_echo": "Each echo was inverted separately; the maps were averaged, weighted by the square of magnitude times "
    "echo time.",
    "n4": "Intensity inhomogeneity was corrected by N4 [tustison2010].",
    "rigid": "The T1-weighted image was registered to the magnitude by a rigid transform with mutual information "
    "(ANTs) [avants2011].",
    "mese_to_gre": "The spin echoes were registered to the gradient-echo magnitude by a rigid transform with mutual "
    "information (ANTs) [avants2011]; R2 was interpolated once.",
    "affine": "The T1-weighted image was registered to the magnitude by an affine transform with mutual information "
    "(ANTs) [avants2011].",
    "atlas_to_all": "No T1-weighted image was available: the atlas was registered to the magnitude of all echoes and "
    "to the magnitude at echo time zero together.",
    "atlas_to_magnitude": "No T1-weighted image was available: the atlas was registered to the gradient-echo "
    "magnitude.",
    "syn": "Non-linear registration used symmetric normalisation (SyN, ANTs) [avants2008].",
    "synthstrip": "The brain was extracted by SynthStrip [hoopes2022].",
    "hd_bet": "The brain was extracted by HD-BET [isensee2019].",
    "fsl_bet": "The brain was extracted by BET of FSL [smith2002].",
    "brain_program": "The brain was extracted by an external program.",
    "fastsurfer": "The T1-weighted image was segmented by FastSurfer [henschel2020].",
}
#: What marks the sentence of a method that no paper describes.
OWN_MARK = " (this software's own method, not published elsewhere)."


def _sentence_of(method: AnyMethod) -> str:
    return method.sentence.removesuffix(".") + (OWN_MARK if method.is_own else ".")


#: What is said of a method that ran, by the key that its step records. ``[key]`` cites; ``{parameters}`` stands for the
#: parameters.
SENTENCES: dict[str, str] = {key: _sentence_of(method) for key, method in BY_KEY.items()} | _OTHER_SENTENCES
#: A citation, with the brackets before and after it that it shares: of a method's parameters, for example.
_CITATION = re.compile(r"(\) )?\[([a-z0-9]+(?:; [a-z0-9]+)*)\]( \((?!this software))?")


@dataclass(frozen=True)
class Methods:
    """A methods text: paragraphs with ``[key]`` citations, and what the authors must add themselves."""

    paragraphs: tuple[str, ...]
    missing: tuple[str, ...] = ()

    @property
    def keys(self) -> list[str]:
        """Return the cited works' keys in the order of the text."""
        cited = [
            key
            for text in self.paragraphs
            for match in _CITATION.finditer(text)
            for key in match[2].split("; ")
            if key in REFERENCES
        ]
        return list(dict.fromkeys(cited))

    @property
    def references(self) -> list[Reference]:
        """Return the cited works in the order of the text."""
        return [REFERENCES[key] for key in self.keys]

    def plain(self) -> list[str]:
        """Return the paragraphs with citations as authors and year, in one pair of brackets with what precedes them."""
        return [_CITATION.sub(_spelled, text) for text in self.paragraphs]


def _spelled(match: re.Match[str]) -> str:
    if any(key not in REFERENCES for key in match[2].split("; ")):
        return match[0]  # brackets of a text from outside
    works = "; ".join(REFERENCES[key].short for key in match[2].split("; "))
    return f"{'; ' if match[1] else '('}{works}{'; ' if match[3] else ')'}"


def methods_text(runs: Sequence[Run]) -> Methods:
    """Return the text for a gradient-echo run and the anatomical images that it used.

    Parameters
    ----------
    runs
        The gradient-echo run first, then anatomical images whose steps served it.
    """
    run = runs[0]
    acquisition, missing = _acquisition(run)
    records = [record for part in (*runs[1:], run) for record in part.records.values()]
    paragraphs = [acquisition, _phase(run), _maps(run), _analysis(run, records), _software(records)]
    return Methods(tuple(text for text in paragraphs if text), tuple(missing))


def _sentences(records: Iterable[StepRecord], only: Iterable[str] | None = None) -> str:
    said: dict[str, str] = {}
    for record in records:
        parameters = _flat(record.parameters)
        for key in record.methods:
            if key not in said and (only is None or key in only):
                said |= _said_of(key, parameters)
    return " ".join(said.values())


def _said_of(key: str, parameters: Mapping[str, JsonObject]) -> dict[str, str]:
    """Return the sentence of what ran by its key, and those of the own stages that its parameters switch on."""
    method = BY_KEY.get(key)
    if method is None:
        return {key: SENTENCES[key]}
    values = parameters.get(method.name, {})
    sentences = {key: SENTENCES[key].replace(PARAMETERS, _values(values))}
    return sentences | {stage: SENTENCES[stage] for name, stage in method.stages.items() if values.get(name, 0) > 0}


def _flat(parameters: Mapping[str, Mapping[str, JsonValue]]) -> dict[str, JsonObject]:
    """Return the parameters of every method by its name."""
    return {
        name: values for section in parameters.values() for name, values in section.items() if isinstance(values, dict)
    }


def _values(parameters: JsonObject) -> str:
    if not parameters:
        return ""
    words = ", ".join(f"{name.rstrip('_')} = {_number(value)}" for name, value in parameters.items())
    return f" ({words})"


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def _acquisition(run: Run) -> tuple[str, list[str]]:
    """Return the paragraph on the data, and what the metadata do not say with the fields that would."""
    source = run.source
    if source is None:
        return "", ["acquisition (the data were not part of this call)"]
    if not source.echo_times:
        return f"The data were field maps{f' at {source.field_strength:g} T' if source.field_strength else ''}.", []
    facts = items(run)
    number = len(source.echo_times)
    text = f"Gradient-echo data with {number} echo{'es' if number != 1 else ''} were acquired"
    text += f" at {source.field_strength:g} T" if source.field_strength else ""
    text += f" ({facts[0].text})" if facts[0].text else ""
    text += f": {'; '.join(item.text for item in facts[1:] if item.text)}."
    lost = [item for item in facts if not item.text]
    if lost:
        text += f" Not stated in the data: {', '.join(item.name for item in lost)}."
    return text, [f"{item.name} ({item.keys})" for item in lost]


def _phase(run: Run) -> str:
    field = run.records.get("field")
    if "slices" in run.records:
        return "The images are not a volume: each slice was processed separately, without susceptibility."
    if field is None:
        return imported(run)
    phase = run.records.get("phase")
    notes = run.metric("phase", "phase")
    text = [_sentences([run.records["coils"]])] if "coils" in run.records else []
    text += [f"Phase input: {'; '.join(map(str, notes))}."] if isinstance(notes, list) and notes else []
    if phase is None or not {"mcpc3ds", "bipolar"} & set(phase.methods):
        text.append("No phase offset was removed.")
    text.append(_sentences([] if phase is None else [phase]))
    if run.source is not None and len(run.source.echo_times) == 1:
        kept = [replace(field, methods=tuple(key for key in field.methods if not key.startswith("fit_")))]
        text += [_sentences(kept), "The total field is the unwrapped phase over the echo time."]
    else:
        text.append(_sentences([field]))
    if run.path("magnitude") is not None:
        text.append("The magnitudes of the echoes were combined as the root of the sum of their squares.")
    return " ".join(filter(None, text))


def _maps(run: Run) -> str:
    mask, inversion, reference = (run.records.get(name) for name in ("mask", "inversion", "reference"))
    choice = {} if mask is None else mask.section("mask")
    text = mask_sentences(mask)
    if "brain-extraction" in run.records:
        text += [_sentences([run.records["brain-extraction"]]), "Its mask takes the place of “bet” in the recipe."]
    if inversion is not None:
        stages = (run.records.get(name) for name in ("background", "inversion", "null_space_trend"))
        text += [_sentences(record for record in stages if record is not None), _chosen(inversion)]
        if choice.get("two_pass"):
            text.append(
                "The inversion was computed twice, in this mask and in a mask of reliable voxels only (recipe "
                f"“{choice['reliable']}”), and the maps were combined to suppress artefacts of strong sources "
                "[stewart2022]."
            )
    if reference is not None:
        region = str(reference.section("reference").get("region", "mask"))
        text.append(
            {
                "mask": "Susceptibility is given relative to the mean over the mask.",
                "none": "Susceptibility was not referenced to a region.",
            }.get(region, f"Susceptibility is given relative to the mean over the region “{region}”.")
        )
    others = [record for name, record in run.records.items() if name in ("relaxometry", "swi")]
    return " ".join(filter(None, [*text, _sentences(others)]))


#: Steps whose methods the paragraphs on phase and maps name.
_TOLD = frozenset(
    (
        "coils",
        "phase",
        "field",
        "mask",
        "brain-extraction",
        "background",
        "inversion",
        "null_space_trend",
        "reference",
        "relaxometry",
        "swi",
    )
)
#: Numbers that inversions choose from the data, and what is said of them.
_CHOSEN = {
    "inversion_regularisation": "regularisation weight {:.3g}",
    "inversion_edges": "edges of the magnitude above {:.3g}",
    "inversion_noise_ppm": "noise of the field {:.3g} ppm",
    "inversion_gradient_ppm_per_mm": "typical gradient of the map {:.3g} ppm/mm",
    "inversion_iterations": "{:g} iterations",
}


def _chosen(inversion: StepRecord) -> str:
    """Return what the inversion has found in the data by itself."""
    choices = [words.format(inversion.number(k)) for k, words in _CHOSEN.items() if inversion.number(k) is not None]
    return f"Estimated from the data: {', '.join(choices)}." if choices else ""


def _analysis(run: Run, records: Sequence[StepRecord]) -> str:
    text = [_sentences(record for record in records if record.step not in _TOLD)]
    names = [key.partition("@")[2] for key in run.keys("regions@")]
    if names:
        erosion = next((r.section("regions").get("erosion", 0) for r in records if r.section("regions")), 0)
        shrunk = f" after erosion by {erosion} voxels" if erosion else ""
        several = "s" if len(names) > 1 else ""
        text.append(
            f"Regional values were calculated inside the valid mask for the segmentation{several} "
            f"{', '.join(names)}{shrunk}."
        )
    return " ".join(filter(None, text))


def _software(records: Sequence[StepRecord]) -> str:
    versions = sorted({record.code_version or __version__ for record in records})
    named = ", ".join(versions) or __version__
    used = {key for record in records for key in record.methods}
    others = libraries("numpy", "scipy", "numba", *(["antspyx"] if used & {"n4", "rigid", "affine", "syn"} else []))
    versions_used = [record.metrics.get("version") for record in records if "fastsurfer" in record.methods]
    others += "".join(f", FastSurfer {version}" for version in dict.fromkeys(versions_used) if version)
    return (
        f"The data were processed with qsm-bids-app {named}, a BIDS App [gorgolewski2017] for data in the Brain "
        f"Imaging Data Structure (BIDS) [gorgolewski2016], with Python {platform.python_version()}, {others}. This "
        "text follows the reporting list of the consensus on quantitative susceptibility mapping [bilgic2024]."
    )


def libraries(*names: str) -> str:
    """Return installed libraries with their versions, as ``NumPy 2.1.0``; those that are not here are left out."""
    named = []
    for name in names:
        with suppress(metadata.PackageNotFoundError):
            named.append(f"{_SPELLED.get(name, name)} {metadata.version(name)}")
    return ", ".join(named)


_SPELLED = {"numpy": "NumPy", "scipy": "SciPy", "numba": "Numba", "antspyx": "ANTsPy"}
