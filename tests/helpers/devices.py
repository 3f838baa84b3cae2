"""Devices for tests: whole arrays on the processor, by the strict array API and by PyTorch where it is installed."""

import array_api_strict
import numpy as np
import pytest

from bids_app.errors import ToolMissingError
from bids_app.qsm.device import Device, find_device


def strict():
    """Return a device whose arrays take the functions of the standard alone, and no numpy array beside them."""
    return Device(
        "strict",
        "strict arrays",
        array_api_strict,
        lambda array: array_api_strict.asarray(np.ascontiguousarray(array), copy=True),
        lambda array: np.array(np.from_dlpack(array)),
    )


def device_of(name):
    """Return a device by its name, or skip the test."""
    if name == "strict":
        return strict()
    try:
        return find_device(name)
    except ToolMissingError as error:
        pytest.skip(str(error))
