"""The device that the options of a stage name, and what the user should know about it."""

from collections.abc import Iterator
from contextlib import contextmanager

from bids_app.qsm.device import Device, current_device, use_device
from bids_app.qsm.registry import AnyMethod


@contextmanager
def device_of(name: str) -> Iterator[Device]:
    """Use the device that options name; ``cpu``, the default, leaves the one of :func:`~bids_app.qsm.use_device`."""
    with use_device(current_device() if name == "cpu" else name) as device:
        yield device


def device_notes(method: AnyMethod, device: Device) -> tuple[str, ...]:
    """Return sentences for the user: why ``auto`` took the processor, or that the method cannot run on the device."""
    notes = (device.note,) if device.note else ()
    if device.is_host or method.on_device:
        return notes
    return (*notes, f"{method.label} cannot run on the {device.label} and ran on the processor.")


def device_label(method: AnyMethod, device: Device) -> str:
    """Return the name of the device that a method ran on; empty for the processor."""
    return device.label if method.on_device and not device.is_host else ""
