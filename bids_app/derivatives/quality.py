"""The table of quality-control metrics: what each is called, its unit and meaning, and which settings bound it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict


class Measured(TypedDict):
    """A metric of a run as ``_qc.json`` has it."""

    value: float | None
    unit: str
    expected: list[float | None]
    flag: str | None
    meaning: str
    settings: list[str]
    advice: str


@dataclass(frozen=True)
class Metric:
    """One metric of a run; out of its bounds it is flagged, and nothing else happens.

    ``low`` and ``high`` name the parameters of the settings' section ``qc`` that hold the bounds (empty: no bound).
    """

    name: str
    unit: str
    meaning: str
    low: str = ""
    high: str = ""
    #: What a value below or above often comes from, and what to do.
    if_low: str = ""
    if_high: str = ""

    def describe(self, value: float | None, bounds: Mapping[str, float]) -> Measured:
        """Return what ``_qc.json`` says of a value (None: this run's data do not give it)."""
        low, high = (bounds[name] if name else None for name in (self.low, self.high))
        flag = None
        if value is not None and low is not None and value < low:
            flag = "low"
        elif value is not None and high is not None and value > high:
            flag = "high"
        settings = [f"qc.{name}" for name in (self.low, self.high) if name]
        return {
            "value": value,
            "unit": self.unit,
            "expected": [low, high],
            "flag": flag,
            "meaning": self.meaning,
            "settings": settings,
            "advice": {"low": self.if_low, "high": self.if_high}.get(flag or "", ""),
        }


#: One column for every echo: ``snr_echo1``, ``snr_echo2`` ...
SNR = "snr_echo"
_SNR_TEXT = "Signal-to-noise ratio of the magnitude of echo {}: median over the object, divided by the SD of the noise"
_SNR_ADVICE = "The map is noisy. Causes: a coil element that was off, small voxels, a short scan, or a long echo time"
_FIT = "look at the echoes and the field fit for motion, flow, or an echo that belongs to another scan"

_TABLE = (
    Metric(
        "field_drift",
        "Hz",
        "Largest difference of the mean field of the object between intervals of the echoes (three echoes or more)",
        high="drift_max",
        if_high=f"The echoes do not agree: {_FIT}",
    ),
    Metric(
        "ghost_fraction",
        "1",
        "Ghosts: signal half a field of view away from the object, relative to the signal of the object. The rest of "
        "the background is subtracted; the largest of the possible phase-encoding axes counts",
        high="ghost_max",
        if_high="Motion or pulsation: look for ghosts next to the head in the magnitude",
    ),
    Metric(
        "unreliable_fraction",
        "1",
        "Part of the brain mask where the standard error of the field is twice the median or more, or the fit fails",
        high="unreliable_max",
        if_high=f"Much of the map rests on poor phase: {_FIT}",
    ),
    Metric("residual_wraps", "1", "Pairs of neighbours in the brain mask whose total field differs by a phase of 2 pi"),
    Metric(
        "residual_wraps_fraction",
        "1",
        "Residual wraps as a part of all pairs of neighbours in the brain mask",
        high="wraps_max",
        if_high="Unwrapping failed in places: look at the total field for jumps, and that the phase is not filtered",
    ),
    Metric(
        "field_error",
        "ppm",
        "Median standard error of the total field in the brain mask (three echoes or more)",
        high="error_max",
        if_high=f"Values of single voxels are uncertain: low signal, or {_FIT}",
    ),
    Metric(
        "field_residual",
        "rad",
        "Median residual of the field fit over the echoes in the brain mask",
        high="residual_max",
        if_high=f"The phase does not grow evenly with echo time: {_FIT}",
    ),
    Metric(
        "residual_correlation",
        "1",
        "Correlation of the residuals of neighbours in the field fit: 0 for noise, more with motion, flow or ghosts",
        high="correlation_max",
        if_high=f"The residual of the fit is not noise: {_FIT}",
    ),
    Metric(
        "boundary_ratio",
        "1",
        "Spread of the local field in the outer 4 mm of its mask, relative to the spread inside",
        high="boundary_max",
        if_high="Background field remains: look at the local field at the mask boundary. A tighter mask (--mask) or "
        "another background.method may help",
    ),
    Metric(
        "streak_ratio",
        "1",
        "Power of the map in the cone where the dipole kernel is small, relative to the power next to the cone",
        high="streak_max",
        if_high="Streaks: look at the map next to veins and bleedings. Two passes (mask.two_pass=true) or another "
        "inversion.method may help",
    ),
    Metric(
        "chi_spread",
        "ppm",
        "Robust SD of the susceptibility map in its mask",
        low="spread_min",
        high="spread_max",
        if_low="The map is almost flat: check that the images are phase images, and that their scale was recognised",
        if_high="The map is mostly noise or artefact, or the phase's scale was not recognised: look at the phase",
    ),
    Metric(
        "mask_volume",
        "ml",
        "Volume of the brain mask",
        low="volume_min",
        high="volume_max",
        if_low="Smaller than the part of an adult brain that fits into the field of view. The mask may have lost "
        "tissue: look at the masks and change --mask. For a test object or an animal, set the bound: "
        "--set qc.volume_min=0",
        if_high="Larger than a brain. The mask may hold scalp, neck or air: look at the masks and change --mask. For a "
        "body part or a large test object, set the bound: --set qc.volume_max=VALUE",
    ),
    Metric(
        "mask_pieces",
        "1",
        "Connected pieces of the brain mask of 0.1 ml and more",
        high="pieces_max",
        if_high='The mask of a brain is one piece: look at the masks, and add "largest" to the recipe (--mask). For '
        "several objects or body parts, set the bound: --set qc.pieces_max=VALUE",
    ),
    Metric(
        "mask_roughness",
        "1",
        "Surface area of the brain mask, relative to that of the smoothed mask, minus 1",
        high="roughness_max",
        if_high="The boundary is ragged: scalp or noise at the edge, or holes. Look at the masks slice by slice, and "
        "change --mask",
    ),
    Metric(
        "valid_fraction",
        "1",
        "Part of the brain mask where the susceptibility map is valid",
        low="valid_min",
        if_low="Background removal has lost a large part of the mask: look at the masks. A method that keeps the "
        "boundary (background.method=lbv or pdf) may help",
    ),
    Metric(
        "registration_similarity",
        "1",
        "Normalised mutual information of magnitude and T1w image after registration: 1 is unrelated, 2 is identical",
        low="similarity_min",
        if_low="The T1w image may belong to another person or be turned: look at the registration, and choose another "
        "image with --bids-filter-file. Very noisy images give low values too",
    ),
    Metric(
        "r2prime_negative_share",
        "1",
        "Part of the voxels where R2* is below R2, so that R2' is set to 0",
        high="r2prime_negative_max",
        if_high="Check that spin and gradient echoes match (registration), and that the echo times in the sidecars "
        "are right",
    ),
    Metric(
        "r2prime_gradient_share",
        "1",
        "Part of the brain mask where field gradients add more than a tenth to R2*; the added part is removed",
    ),
    Metric(
        "r2prime_valid_fraction",
        "1",
        "Part of the brain mask where R2' is valid",
        low="r2prime_valid_min",
        if_low="The spin echoes do not cover the mask, or field gradients leave too little signal. There, the source "
        "separation uses susceptibility only",
    ),
    Metric(
        "separation_residual",
        "1",
        "Root mean square of the residual of the source separation in R2' (without R2': in R2*), relative to it",
        high="separation_residual_max",
        if_high="The relaxivity may not fit the data (separation.METHOD.relaxivity, or "
        "separation.METHOD.calibrate=true), or R2 and R2* do not match",
    ),
)


def metrics_of(echoes: int) -> dict[str, Metric]:
    """Return all metrics of a run of so many echoes by name, in the order of columns."""
    snr = []
    for echo in range(1, echoes + 1):
        bound = "snr_min" if echo == 1 else "snr_last_min" if echo == echoes else ""
        snr.append(Metric(f"{SNR}{echo}", "1", _SNR_TEXT.format(echo), low=bound, if_low=_SNR_ADVICE if bound else ""))
    return {metric.name: metric for metric in (*snr, *_TABLE)}


def sentence(name: str, metric: Measured) -> str:
    """Return the warning about a metric (as ``Metric.describe`` gives it) that is out of its bounds."""
    low, high = metric["expected"]
    unit = "" if metric["unit"] == "1" else f" {metric['unit']}"
    bound = f"{low:g}{unit} or more" if metric["flag"] == "low" else f"{high:g}{unit} or less"
    setting = metric["settings"][0 if metric["flag"] == "low" else -1]
    value = f"{metric['value']:.3g}{unit}"
    return f"quality: {name} is {value}, expected is {bound} ({setting}): {metric['meaning']}. {metric['advice']}"


def columns(echoes: int) -> dict[str, dict[str, str]]:
    """Return the BIDS data dictionary of the columns of runs of at most so many echoes."""
    return {
        name: {"Description": metric.meaning} | ({"Units": metric.unit} if metric.unit != "1" else {})
        for name, metric in metrics_of(echoes).items()
    }
