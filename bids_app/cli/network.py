"""``inversion.method=onnx``: whether the network can run, before any participant starts."""

import hashlib
from dataclasses import replace

from bids_app.errors import ParameterError, UsageError
from bids_app.model.settings import Settings
from bids_app.qsm.inversion.onnx_contract import load_network, read_contract
from bids_app.qsm.inversion.onnx_network import ONNX


def with_network(settings: Settings) -> Settings:
    """Return settings that name the network by its absolute path and its content, where one is used.

    The content is a parameter, so that a network that changes under the same name is run again.

    Raises
    ------
    UsageError
        If the contract or the network cannot be read.
    ToolMissingError
        If onnxruntime is not installed.
    """
    section = settings.inversion
    if section.choice.method != ONNX.name:
        return settings
    params = section.of(ONNX)
    try:
        contract = read_contract(params.model)
        load_network(contract)
    except ParameterError as error:
        raise UsageError(str(error)) from error
    content = hashlib.sha256(contract.path.read_bytes() + contract.network.read_bytes()).hexdigest()
    fixed = replace(params, model=str(contract.path.resolve()), content=content)
    return replace(settings, inversion=replace(section, methods={**section.methods, ONNX.name: fixed}))
