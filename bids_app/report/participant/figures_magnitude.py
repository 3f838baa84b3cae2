"""Figures of what the magnitude gives: relaxation, and the susceptibility-weighted image."""

from collections.abc import Iterator

from bids_app.report.participant.volumes import Maps
from bids_app.report.pictures import Layer, Picture, grid, picture, planes, window_of
from bids_app.report.slices import positions


def relaxometry(maps: Maps) -> Iterator[Picture]:
    """R2* and T2*."""
    layers = []
    for key, name, unit, top in (("r2star", "R2*", "1/s", 80.0), ("t2star", "T2*", "ms", 100.0)):
        data = maps.get(key)
        if data is not None:
            values = 1000 * data if unit == "ms" else data
            layers.append(Layer(values, (0.0, top), name, unit, "inferno", inside=maps.mask))
    if layers:
        yield picture(
            planes(layers, maps.frame),
            "R2* and T2*",
            "At 3 T, R2* is about 20 /s in white matter and 30 to 60 /s in iron-rich nuclei. Bright areas above the "
            "sinuses and ear canals show signal loss by field gradients and not iron.",
            f"Three planes of {' and '.join(layer.name for layer in layers)}.",
        )


def swi(maps: Maps) -> Iterator[Picture]:
    """Susceptibility-weighted image and its minimum-intensity projection."""
    layers = []
    for key, name in (("swi", "SWI"), ("minip", "minimum-intensity projection")):
        data = maps.get(key)
        if data is not None:
            layers.append(Layer(data, window_of(data, maps.mask), name, "a.u.", inside=maps.mask))
    if layers:
        yield picture(
            grid([[(layer, "axial", at) for at in positions(maps.frame, "axial", 3)] for layer in layers], maps.frame),
            "Susceptibility-weighted image",
            "Veins should be dark and continuous in the projection.",
            f"Three axial slices of the {' and of the '.join(layer.name for layer in layers)}.",
        )
