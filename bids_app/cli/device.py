"""``--device``: whether there is the GPU that a stage asks for, before any participant starts."""

from dataclasses import replace

from bids_app.errors import UsageError
from bids_app.model.settings import Settings
from bids_app.qsm.device import find_device


def with_device(settings: Settings, on_cluster: bool) -> tuple[Settings, str]:
    """Return settings that name the device in place of ``auto``, and why ``auto`` took the processor, if it did.

    The device is a parameter of the steps, so that a map of another device is made again. Jobs of a cluster run
    elsewhere: there ``cuda`` is looked for by the job.

    Raises
    ------
    UsageError
        If ``auto`` is asked for where jobs run on other machines.
    ToolMissingError
        If ``cuda`` is asked for and there is no GPU or no PyTorch.
    """
    background, inversion = settings.background, settings.inversion
    asked = {background.choice.device, inversion.choice.device}
    if on_cluster and "auto" in asked:
        raise UsageError(
            "--device auto with --cluster: this machine does not see the GPUs of the workers; choose cuda or cpu"
        )
    if on_cluster or asked == {"cpu"}:
        return settings, ""
    devices = {name: find_device(name) for name in sorted(asked)}
    background = replace(background, choice=replace(background.choice, device=devices[background.choice.device].name))
    inversion = replace(inversion, choice=replace(inversion.choice, device=devices[inversion.choice.device].name))
    note = devices["auto"].note if "auto" in devices else ""
    return replace(settings, background=background, inversion=inversion), note
