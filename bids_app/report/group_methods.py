"""The methods text of the group level, from what really ran there."""

from collections.abc import Mapping, Sequence
from typing import Any

from bids_app import __version__
from bids_app.report.cohort_tables import table_of
from bids_app.report.collect import Run
from bids_app.report.methods import Methods

#: What is said of a method that a step of the group records; template rounds have sentences of their own.
GROUP_SENTENCES: dict[str, str] = {
    "ols": "The model “{model}” was fitted to every region by ordinary least squares.",
    "mixed": "The model “{model}” was fitted to every region with a random intercept of every participant by "
    "restricted maximum likelihood [laird1982], with degrees of freedom divided between and within participants.",
    "fdr": "Intervals are given at {confidence:g} % confidence; p values were corrected over regions for a false "
    "discovery rate of {fdr:g} [benjamini1995].",
}


def group_methods_text(
    group: Run, template: Sequence[Run], registrations: Sequence[Run], counts: Mapping[str, int]
) -> Methods:
    """Return the text of the group level.

    Parameters
    ----------
    group
        The cohort's records.
    template
        Records of the template: one for every average, and those of the average maps.
    registrations
        Records of the participants' images and registrations for the template.
    counts
        Number of runs by their state (``found``, ``missing`` ...).
    """
    keys = [key for record in group.records.values() for key in record.get("methods", [])]
    unknown = [key for key in dict.fromkeys(keys) if key not in GROUP_SENTENCES]
    paragraphs = [
        _who(counts), _template(template, registrations), _maps(template), _statistics(group, keys),
        f"Group analysis was done by qsm-bids-app {_version(group)}, a BIDS App [gorgolewski2016].",
    ]  # fmt: skip
    missing = [f"a sentence on the method {key}" for key in unknown]
    return Methods(tuple(text for text in paragraphs if text), tuple(missing))


def _version(group: Run) -> str:
    versions = sorted({str(record.get("code_version", __version__)) for record in group.records.values()})
    return ", ".join(versions) or __version__


def _who(counts: Mapping[str, int]) -> str:
    if not counts:
        return ""
    found = counts.get("found", 0)
    others = ", ".join(f"{number} {status}" for status, number in counts.items() if status != "found" and number)
    rest = f" ({others})" if others else ""
    return (
        f"{found} of {sum(counts.values())} gradient-echo runs had complete susceptibility maps and regional "
        f"values{rest}."
    )


def _template(template: Sequence[Run], registrations: Sequence[Run]) -> str:
    averages = [run.records["average"] for run in template if "average" in run.records]
    registered = [record for run in registrations for record in run.records.values()]
    if not averages and not any(record["step"] == "register" for record in registered):
        return ""
    choice: dict[str, Any] = next(
        (r["parameters"]["template"] for r in [*averages, *registered] if "template" in r["parameters"]), {}
    )
    text = ["Magnitude and T1-weighted images were corrected for intensity inhomogeneity by N4 [tustison2010]."]
    if averages:
        members = max(int(record.get("metrics", {}).get("members", 0)) for record in averages)
        kinds = [row["kind"] for row in table_of(template, "convergence")]
        linear, warped = (sum(kind in names for kind in kinds) for names in (("rigid", "affine"), ("syn",)))
        text.append(
            f"An unbiased template was built from {members} participants: from the centres of mass in {linear} "
            f"rounds of rigid and affine and {warped} rounds of non-linear registration (SyN, ANTs) [avants2008], each "
            "average brought to the mean shape of the group by the inverse of the mean map [avants2010]."
        )
    else:
        text.append(
            "Participants were registered to the given template rigidly, affinely and by SyN (ANTs) [avants2008]."
        )
    if choice:
        told = ", ".join(f"{name} = {value:g}" for name, value in choice.items() if isinstance(value, int | float))
        text.append(f"Parameters of the template: {told}.")
    return " ".join(text)


def _maps(template: Sequence[Run]) -> str:
    maps = next((run.records["maps"] for run in template if "maps" in run.records), None)
    if maps is None:
        return ""
    people = maps.get("metrics", {}).get("participants")
    text = (
        "Maps were brought to the template by one linear interpolation through the composed transforms, and averaged "
        f"over {people} participants where half of them at least have a valid value."
    )
    labels = [key.partition("@")[2] for run in template for key in run.keys("dseg_template@")]
    return text + (f" Segmentations ({', '.join(labels)}) were fused by majority." if labels else "")


def _statistics(group: Run, keys: Sequence[str]) -> str:
    choice: dict[str, Any] = {}
    for step in ("outliers", "model"):
        choice |= group.parameters(step).get("statistics", {})
    text = []
    if "outliers" in group.records:
        text.append(
            f"Regional values with a robust z score beyond {choice.get('outlier_z', 3.5):g} (distance from the median "
            "over 1.4826 times the median absolute deviation [leys2013]) were flagged and not removed."
        )
    said = {
        "model": choice.get("model", ""), "confidence": 100 * choice.get("confidence", 0.95),
        "fdr": choice.get("fdr", 0.05),
    }  # fmt: skip
    text += [GROUP_SENTENCES[key].format(**said) for key in dict.fromkeys(keys) if key in GROUP_SENTENCES]
    return " ".join(text)
