"""Methods on a device: the same result as by the kernels, no more memory than documented, and what is refused."""

import functools
import importlib.util
import sys
import weakref
from dataclasses import replace
from pathlib import Path

import array_api_strict
import numpy as np
import pytest

from bids_app import qsm
from bids_app.errors import ParameterError, QsmAppError, ToolMissingError
from bids_app.qsm import device as devices
from bids_app.qsm.device import HOST, find_device, to_device, to_host, use_device
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.bayes import BayesParams
from bids_app.qsm.inversion.nltv import NltvParams
from bids_app.qsm.inversion.tgv import TgvParams
from bids_app.qsm.kernels import admm, gradient, spectrum
from bids_app.qsm.operators.dipole import forward_field
from bids_app.qsm.operators.fft import power, rfftn
from bids_app.qsm.plain import admm as plain_admm
from bids_app.qsm.plain import gradient as plain_gradient
from bids_app.qsm.plain import spectrum as plain_spectrum
from bids_app.qsm.solvers.admm import Problem, minimise
from tests.helpers.devices import device_of, strict

#: The class of the strict arrays, which has no public name.
ARRAY = type(array_api_strict.zeros(1))
GRID = Grid((26, 24, 27), (1.5, 1.6, 2.0), (0.2, -0.1, 0.97))
METHODS = {**qsm.BACKGROUND, **{name: method for name, method in qsm.INVERSIONS.items() if name != "onnx"}}
ON_DEVICE = [name for name, method in METHODS.items() if method.on_device]
#: Few iterations of the slow ones, and weak harmonics, which are off by default.
PARAMETERS = {
    "tgv": TgvParams(iterations=25, levels=1),
    "bayes": BayesParams(detail=10),
    "nltv": NltvParams(weak_harmonics=True, iterations=20),
}


@pytest.fixture(params=["strict", "torch"])
def device(request):
    return device_of(request.param)


@functools.cache
def head():
    """Return total field, local field, mask, weights and magnitude of nuclei in an ellipsoid."""
    rng = np.random.default_rng(0)
    x, y, z = (axis - n / 2 for axis, n in zip(np.indices(GRID.shape, np.float32), GRID.shape, strict=True))
    mask = (x / 10) ** 2 + (y / 9) ** 2 + (z / 10) ** 2 < 1
    chi = np.where((abs(x - 2) < 3) & (abs(y) < 3) & (abs(z) < 3), np.float32(0.1), np.float32(0)) * mask
    local = (forward_field(chi, GRID) + 0.002 * rng.normal(size=GRID.shape)).astype(np.float32) * mask
    weights = np.clip(1 + 0.3 * rng.normal(size=GRID.shape), 0.1, 2).astype(np.float32) * mask
    magnitude = (1 + 5 * chi + 0.02 * rng.normal(size=GRID.shape)).astype(np.float32)
    return (local + 0.02 * x + 0.01 * z).astype(np.float32), local, mask, weights, magnitude


def run(name):
    """Return the field or map of a method."""
    total, local, mask, weights, magnitude = head()
    method = METHODS[name]
    params = PARAMETERS.get(name, method.params())
    if method.kind == "background":
        return method(total, mask, GRID, weights=weights, params=params)[0]
    return method(local, mask, GRID, weights=weights, magnitude=magnitude, params=params)


def counting(device=None):
    """Return a device like another one, and the list of the shapes that it has taken."""
    shapes, inner = [], device or strict()

    def take(array):
        shapes.append(array.shape)
        return inner.take(array)

    return replace(inner, take=take), shapes


@pytest.mark.parametrize("name", ON_DEVICE)
def test_a_device_gives_the_result_of_the_kernels(name, device):
    expected, (counted, shapes) = run(name), counting(device)
    with use_device(counted):
        result = run(name)
    assert shapes
    assert type(result) is np.ndarray
    assert result.dtype == np.float32
    # Sums have another order, and the conjugate gradients of TFI, which are ill-conditioned, enlarge the difference.
    tolerance = 2e-2 if name == "tfi" else 1e-4
    assert np.abs(result - expected).max() <= tolerance * np.abs(expected).max()
    assert np.abs(expected).max() > 0.01


@pytest.mark.parametrize("name", sorted(set(METHODS) - set(ON_DEVICE)))
def test_methods_that_cannot_use_a_device_leave_it_alone(name):
    counted, shapes = counting()
    with use_device(counted):
        result = run(name)
    assert np.array_equal(result, run(name))
    assert shapes == []


@pytest.mark.parametrize("kind", [0, 1, 2, 3])
def test_plain_data_terms_are_those_of_the_kernel(kind, device):
    rng = np.random.default_rng(kind)
    image, dual, field = (rng.normal(size=(5, 4, 6)).astype(np.float32) for _ in range(3))
    weight = (rng.random((5, 4, 6)) * (rng.random((5, 4, 6)) > 0.2)).astype(np.float32)
    with use_device(device):
        moved = [to_device(array) for array in (image, dual, field, weight)]
        plain_admm.fit_data(*moved, np.float32(0.8), kind, np.float32(1.3))
        result = [to_host(array) for array in moved[:2]]
    admm.fit_data(image, dual, field, weight, np.float32(0.8), kind, np.float32(1.3))
    np.testing.assert_allclose(result, [image, dual], atol=3e-6)


def test_plain_normal_equations_and_quotients_are_those_of_the_kernels(device):
    rng = np.random.default_rng(1)
    first, second = (rng.normal(size=(2, 5, 4, 6)).astype(np.float32) for _ in range(2))
    spectra = [(a + 1j * b).astype(np.complex64) for a, b in (first, second)]
    kernel, laplacian = rng.normal(size=(5, 4, 6)).astype(np.float32), rng.random((5, 4, 6)).astype(np.float32)
    kernel[0, 0, 0] = laplacian[0, 0, 0] = 0  # the level is not determined
    penalties = np.float32(1.0), np.float32(0.3), np.float32(0.0)
    with use_device(device):
        moved = [to_device(array) for array in (*spectra, kernel, laplacian)]
        plain_admm.combine(*moved, *penalties)
        combined = [to_host(array) for array in moved[:2]]
        quotient = to_device(spectra[0])
        plain_spectrum.deconvolve(quotient, to_device(kernel), 0.3)
        quotient = to_host(quotient)
    expected = spectra[0].copy()
    spectrum.deconvolve(expected, kernel, np.float32(0.3))
    np.testing.assert_allclose(quotient, expected, rtol=1e-5, atol=1e-6)
    admm.combine(*spectra, kernel, laplacian, *penalties)
    np.testing.assert_allclose(combined, spectra, rtol=1e-4, atol=1e-5)
    assert not combined[0][0, 0, 0]


@pytest.mark.parametrize("edges", [False, True])
def test_the_plain_split_gradient_is_that_of_the_kernel(edges, device):
    rng = np.random.default_rng(2)
    shape, steps, bound = (5, 4, 6), tuple(np.float32(v) for v in (1.0, 0.8, 0.5)), np.float32(0.4)
    chi, dual = rng.normal(size=shape).astype(np.float32), rng.normal(size=(3, *shape)).astype(np.float32)
    free = rng.integers(0, 8, shape).astype(np.uint8)
    with use_device(device):
        parts = [to_device(part) for part in dual]
        bits = to_device(free) if edges else None
        result = to_host(plain_gradient.split_gradient(to_device(chi), parts, [float(v) for v in steps], 0.4, bits))
        clipped = [to_host(part) for part in parts]
    out, planes, first = np.empty(shape, np.float32), np.empty((1, 4, 6), np.float32), np.array([0, 5])
    none = np.zeros((1, 1, 1), np.uint8)
    gradient.split_gradient(chi, dual, steps, bound, free if edges else none, out, planes, first)
    np.testing.assert_allclose(result, out, atol=1e-5)
    np.testing.assert_allclose(clipped, dual, atol=1e-6)


@pytest.mark.parametrize("shape", [(4, 5, 6), (4, 5, 7)])
def test_the_power_of_a_half_spectrum_is_that_of_the_volume(shape, device):
    volume = np.random.default_rng(3).normal(size=shape).astype(np.float32)
    with use_device(device):
        result = power(rfftn(to_device(volume)), shape)
    assert result == pytest.approx(np.sum(volume**2, dtype=np.float64), rel=1e-5)


#: Volumes of float32 on the working grid that a device holds at once, without the transforms' work space, as
#: docs/resources.md has them.
VOLUMES = {"medi": 22, "ndi": 9, "pdf": 11, "rts": 13, "tgv": 35, "tv": 19}


@pytest.fixture
def held(monkeypatch):
    """Count the bytes of all strict arrays that are alive; views and wrappers of one array count once."""
    bytes_of, total = {}, {"now": 0, "peak": 0}
    make = ARRAY._new.__func__

    def release(key):
        total["now"] -= bytes_of.pop(key)

    def counted(cls, data, /, device=None):
        array = make(cls, data, device)
        key = id(array._array)
        if array._array.base is None and key not in bytes_of:
            bytes_of[key] = array._array.nbytes
            total["now"] += array._array.nbytes
            total["peak"] = max(total["peak"], total["now"])
            weakref.finalize(array._array, release, key)
        return array

    monkeypatch.setattr(ARRAY, "_new", classmethod(counted))
    return total


@pytest.mark.parametrize("name", VOLUMES)
def test_memory_on_a_device_is_what_the_documentation_says(name, held):
    counted, shapes = counting()
    with use_device(counted):
        run(name)
    assert VOLUMES[name] - 1 < held["peak"] / (4 * max(map(np.prod, shapes))) <= VOLUMES[name]
    assert held["now"] == 0


def test_the_pipeline_names_the_device_and_what_could_not_run_there():
    total, _, mask, _, _ = head()
    with use_device(strict()):
        local = qsm.local_field(total, mask, GRID, options=qsm.BackgroundChoices(method="lbv"))
        made = qsm.susceptibility(local, GRID, options=qsm.InversionChoices(method="tkd"))
        other = qsm.susceptibility(local, GRID, options=qsm.InversionChoices(method="ilsqr"))
    assert local.warnings == ("LBV cannot run on the strict arrays and ran on the processor.",)
    assert made.info["device"] == "strict arrays"
    assert made.warnings == ()
    assert "device" not in other.info
    assert other.warnings == ("iLSQR cannot run on the strict arrays and ran on the processor.",)


def test_options_choose_the_device(monkeypatch):
    _, local, mask, _, _ = head()
    field = qsm.LocalField((qsm.Pass(mask, mask, (local,), (mask,)),), local, np.zeros_like(mask))
    asked = []
    monkeypatch.setattr(devices, "find_device", lambda name: asked.append(name) or strict())
    made = qsm.susceptibility(field, GRID, options=qsm.InversionChoices(method="tkd", device="cuda"))
    assert asked == ["cuda"]
    assert made.info["device"] == "strict arrays"
    qsm.susceptibility(field, GRID, options=qsm.InversionChoices(method="tkd"))
    assert asked == ["cuda"]


def test_auto_takes_the_processor_without_pytorch_and_says_why(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    before = "torch" in sys.modules
    device = find_device("auto")
    assert (device.name, device.is_host) == ("cpu", True)
    assert device.note == "Device auto: PyTorch is not installed; the processor is used."
    assert ("torch" in sys.modules) == before
    for name in ("cuda", "torch"):
        with pytest.raises(ToolMissingError, match=rf"device {name}: PyTorch is not installed; install it \(pip"):
            find_device(name)


def test_without_a_gpu_cuda_is_refused_and_auto_says_so(monkeypatch):
    monkeypatch.setattr(devices, "_missing", lambda: "")
    monkeypatch.setattr(devices, "_without_gpu", lambda: "PyTorch 2.13 sees no CUDA GPU on this machine")
    assert find_device("auto").note == (
        "Device auto: PyTorch 2.13 sees no CUDA GPU on this machine; the processor is used."
    )
    with pytest.raises(ToolMissingError, match=r"^device cuda: PyTorch 2.13 sees no CUDA GPU .* choose device cpu or"):
        find_device("cuda")


def test_pytorch_on_a_machine_without_a_gpu_refuses_cuda():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    if torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    with pytest.raises(ToolMissingError, match="sees no CUDA GPU on this machine; choose device cpu or auto"):
        find_device("cuda")


def test_gpus_without_enough_memory_give_a_sentence():
    class OutOfMemoryError(RuntimeError):
        pass

    sentence = r"^the memory of the strict arrays does not suffice: choose device cpu$"
    with pytest.raises(QsmAppError, match=sentence), use_device(strict()):
        raise OutOfMemoryError("CUDA out of memory")
    with pytest.raises(RuntimeError, match=r"^another$"), use_device(strict()):
        raise RuntimeError("another")
    assert devices.current_device() is HOST


def test_the_documentation_lists_what_runs_on_a_gpu():
    text = (Path(__file__).parents[3] / "docs" / "resources.md").read_text(encoding="utf-8")
    table = text.split("| method | on the GPU |\n|---|---|\n")[1].split("\n\n")[0]
    *listed, nothing = [set(line.split("|")[1].strip().split(", ")) for line in table.splitlines()]
    methods = [*METHODS.values(), qsm.INVERSIONS["onnx"]]
    assert set.union(*listed) == {method.label for method in methods if method.on_device}
    assert nothing == {method.label for method in methods if not method.on_device}


def test_an_unknown_device_is_refused():
    with pytest.raises(ParameterError, match="there is no device 'gpu': choose one of auto, cpu, cuda"):
        find_device("gpu")


def test_the_input_of_a_solver_is_never_changed():
    _, local, mask, _, _ = head()
    problem = Problem(GRID, local.copy(), mask.astype(np.float32), 1e-3)
    start = np.full(GRID.shape, 0.01, np.float32)
    for device in (HOST, strict()):
        with use_device(device):
            minimise(problem, iterations=3, tolerance=0.0, start=start)
        assert np.array_equal(problem.field, local)
        assert (start == np.float32(0.01)).all()
