"""Pictures of source separation and of the relaxation that it rests on."""

from collections.abc import Iterator

from bids_app.report.participant.volumes import Maps
from bids_app.report.pictures import Layer, Picture, picture, planes


def spin_echo(maps: Maps) -> Iterator[Picture]:
    """R2 and R2' with its standard deviation."""
    layers = []
    for key, name, top in (("r2", "R2", 40.0), ("r2prime", "R2'", 40.0), ("r2prime_sd", "SD of R2'", 10.0)):
        data = maps.get(key)
        if data is not None:
            layers.append(Layer(data, (0.0, top), name, "1/s", "inferno", inside=maps.mask))
    if layers:
        yield picture(
            planes(layers, maps.frame),
            "R2 and R2'",
            "R2' should be high in the deep grey nuclei and veins, moderate in white matter, near zero in fluid. "
            "Double or shifted edges mean that spin and gradient echoes are not aligned.",
            f"Three planes of {', '.join(layer.name for layer in layers)}.",
        )


def sources(maps: Maps) -> Iterator[Picture]:
    """Paramagnetic and diamagnetic susceptibility, and what the model leaves of R2'."""
    layers = []
    for key, name, window, unit, shades in (
        ("chi_paramagnetic", "paramagnetic χ", (0.0, 0.15), "ppm", "inferno"),
        ("chi_diamagnetic", "diamagnetic χ", (-0.08, 0.0), "ppm", "gray"),
        ("separation_residual", "residual", (-15.0, 15.0), "1/s", "gray"),
    ):
        data = maps.get(key)
        if data is not None:
            layers.append(Layer(data, window, name, unit, shades, inside=maps.mask))
    if layers:
        yield picture(
            planes(layers, maps.frame),
            "Paramagnetic and diamagnetic susceptibility",
            "Iron: deep grey nuclei are bright in the paramagnetic map. Myelin: white matter is dark (negative) in the "
            "diamagnetic map. Do not interpret veins, sinuses or the mask boundary: field gradients add to R2' there.",
            f"Three planes of {', '.join(layer.name for layer in layers)}.",
        )
