"""``--device``: what it sets, what is refused before anything starts, and what goes into the key of a step."""

from dataclasses import replace

import pytest

from bids_app.cli.config import settings_from_arguments
from bids_app.cli.device import with_device
from bids_app.cli.execution_options import DEVICES
from bids_app.cli.job_options import options_for_jobs
from bids_app.cli.options import build_parser
from bids_app.engine.cache import parameters_of
from bids_app.errors import ToolMissingError, UsageError
from bids_app.qsm import device as devices
from bids_app.steps.participant.background import BACKGROUND
from bids_app.steps.participant.inversion import INVERSION
from tests.helpers.devices import strict


def parsed(*options):
    return build_parser().parse_args(["in", "out", "participant", *options])


def settings_of(*options):
    return settings_from_arguments(parsed(*options))


def devices_of(settings):
    return settings.background.choice.device, settings.inversion.choice.device


@pytest.fixture
def no_gpu(monkeypatch):
    monkeypatch.setattr(devices, "_missing", lambda: "")
    monkeypatch.setattr(devices, "_without_gpu", lambda: "PyTorch sees no CUDA GPU on this machine")


@pytest.fixture
def gpu(monkeypatch):
    monkeypatch.setattr(devices, "_missing", lambda: "")
    monkeypatch.setattr(devices, "_without_gpu", lambda: "")
    monkeypatch.setattr(devices, "_torch", lambda place: replace(strict(), name=place))


def test_the_option_sets_both_stages_and_a_setting_wins_over_it():
    assert DEVICES == devices.DEVICES
    assert devices_of(settings_of()) == ("cpu", "cpu")
    assert devices_of(settings_of("--device", "cuda")) == ("cuda", "cuda")
    assert devices_of(settings_of("--device", "cuda", "--set", "background.device=cpu")) == ("cpu", "cuda")
    assert options_for_jobs(parsed("--device", "auto")) == ("--device", "auto")


def test_the_processor_asks_for_nothing(monkeypatch):
    monkeypatch.setattr("bids_app.cli.device.find_device", lambda name: pytest.fail("a device was looked for"))
    settings = settings_of()
    assert with_device(settings, False) == (settings, "")


def test_auto_is_named_by_what_it_takes(no_gpu):
    settings, note = with_device(settings_of("--device", "auto"), False)
    assert devices_of(settings) == ("cpu", "cpu")
    assert note == "Device auto: PyTorch sees no CUDA GPU on this machine; the processor is used."


def test_auto_takes_a_gpu_without_a_word(gpu):
    settings, note = with_device(settings_of("--device", "auto"), False)
    assert devices_of(settings) == ("cuda", "cuda")
    assert note == ""


def test_cuda_without_a_gpu_is_a_missing_tool(no_gpu):
    with pytest.raises(ToolMissingError, match="sees no CUDA GPU") as refusal:
        with_device(settings_of("--set", "inversion.device=cuda"), False)
    assert refusal.value.exit_code == 4


def test_workers_look_for_their_own_gpu(no_gpu):
    asked = settings_of("--device", "cuda")
    assert with_device(asked, True) == (asked, "")
    with pytest.raises(UsageError, match="--device auto with --cluster: this machine does not see the GPUs"):
        with_device(settings_of("--device", "auto"), True)


def test_the_device_is_in_the_key_of_both_steps():
    for step, section in ((BACKGROUND, "background"), (INVERSION, "inversion")):
        values = [parameters_of(step, settings_of("--device", name))[section]["device"] for name in ("cpu", "cuda")]
        assert values == ["cpu", "cuda"]
