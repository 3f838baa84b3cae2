"""A network of the user's own: scaling, axes and patches of the contract, and what is refused."""

import sys

import numpy as np
import pytest

from bids_app import qsm
from bids_app.cli.network import with_network
from bids_app.errors import ParameterError, ToolMissingError, UsageError
from bids_app.model.settings import build_settings
from bids_app.qsm.grid import Grid
from bids_app.qsm.inversion.onnx_network import OnnxParams, onnx

GRID = Grid((12, 10, 8))
MASK = np.zeros(GRID.shape, bool)
MASK[2:10, 2:8, 1:7] = True
FIELD = np.random.default_rng(0).normal(0, 0.05, GRID.shape).astype(np.float32)


@pytest.fixture
def contract(tmp_path):
    """Write a toy network and its contract; return the parameters of the inversion.

    The network subtracts from each voxel its neighbour along the network's last axis, so that axes and edges show.
    """
    helper = pytest.importorskip("onnx.helper")
    pytest.importorskip("onnxruntime")
    import onnx as package

    kernel = helper.make_tensor("w", package.TensorProto.FLOAT, (1, 1, 1, 1, 3), [0.0, 1.0, -1.0])
    node = helper.make_node("Conv", ["field", "w"], ["chi"], pads=[0, 0, 1, 0, 0, 1])
    shape = [1, 1, "x", "y", "z"]
    values = [helper.make_tensor_value_info(name, package.TensorProto.FLOAT, shape) for name in ("field", "chi")]
    graph = helper.make_graph([node], "toy", values[:1], values[1:], [kernel])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    package.save(model, tmp_path / "toy.onnx")

    def of(text="", network="toy.onnx"):
        path = tmp_path / "toy.toml"
        path.write_text(f'network = "{network}"\n{text}\n')
        return OnnxParams(model=str(path))

    return of


def expected(field, axis):
    """Return what the toy network makes of a masked field, by NumPy."""
    masked = np.where(MASK, field, 0)
    following = np.zeros_like(masked)
    lead = [slice(None)] * 3
    lag = list(lead)
    lead[axis], lag[axis] = slice(None, -1), slice(1, None)
    following[tuple(lead)] = masked[tuple(lag)]
    return (masked - following) * MASK


def test_the_whole_volume_is_given_to_the_network(contract):
    np.testing.assert_allclose(onnx(FIELD, MASK, GRID, params=contract()), expected(FIELD, 2), atol=1e-6)


def test_scales_and_axes_of_the_contract_hold(contract):
    text = 'input_scale = 10.0\noutput_scale = 0.5\noutput_shift = 2.0\naxes = "zyx"\nb0_axis = 0'
    estimate = onnx(FIELD, MASK, GRID, params=contract(text))
    np.testing.assert_allclose(estimate, (10 * expected(FIELD, 0) - 2 * MASK) * 0.5, atol=1e-5)


def test_patches_cover_the_volume_and_their_number_is_noted(contract):
    info, calls = {}, []
    params = contract("patch = 4\noverlap = 1")
    estimate = onnx(np.ones_like(FIELD), MASK, GRID, params=params, info=info, progress=lambda *at: calls.append(at))
    assert info["patches"] == len(calls) > 8
    assert calls[-1] == (len(calls), len(calls))
    flat = onnx(np.ones_like(FIELD), MASK, GRID, params=contract())
    same = estimate == flat  # patches end where the network does not see the next voxel
    assert same[MASK].mean() > 0.6 and np.isfinite(estimate).all() and not estimate[~MASK].any()


def test_a_volume_is_padded_to_the_multiple_that_the_network_needs(contract):
    np.testing.assert_allclose(onnx(FIELD, MASK, GRID, params=contract("multiple = 16")), expected(FIELD, 2), atol=1e-6)


def test_the_pipeline_takes_the_network(contract):
    local = qsm.local_field(FIELD, MASK, GRID, options=qsm.BackgroundChoices(method="lbv", boundary_sources="keep"))
    maps = qsm.susceptibility(local, GRID, options=qsm.InversionChoices(method="onnx"), parameters={"onnx": contract()})
    assert maps.chi.any() and "onnx" in maps.methods


@pytest.mark.parametrize(
    ("text", "network", "says"),
    [
        ("scale = 2", "toy.onnx", "unknown parameter 'scale'"),
        ("patch = 4\noverlap = 4", "toy.onnx", "must be smaller than patch"),
        ("input_scale = 0", "toy.onnx", "must not be 0"),
        ("[", "toy.onnx", "toy.toml"),
        ("", "none.onnx", "there is no file"),
        ("", "toy.toml", "cannot be read as an ONNX network"),
        ("b0_axis = 0", "toy.onnx", "90 degrees"),
    ],
)
def test_a_wrong_contract_is_one_sentence(contract, text, network, says):
    with pytest.raises(ParameterError, match=says):
        onnx(FIELD, MASK, GRID, params=contract(text, network))


def test_the_command_checks_the_network_and_knows_when_it_changes(contract):
    def decided(model):
        return with_network(build_settings({"inversion": {"method": "onnx", "onnx": {"model": model}}}))

    model = contract().model
    first = decided(model).inversion.methods["onnx"]
    contract("output_scale = 2.0")
    second = decided(model).inversion.methods["onnx"]
    assert len(first.content) == 64 and first.content != second.content
    with pytest.raises(UsageError, match="there is no file"):
        decided("nowhere.toml")
    assert with_network(build_settings({})) == build_settings({})


def test_the_contract_must_be_given():
    with pytest.raises(ParameterError, match=r"inversion\.onnx\.model: there is no file ''"):
        onnx(FIELD, MASK, GRID)


def test_a_missing_package_is_named_with_the_command_that_installs_it(contract, monkeypatch):
    params = contract()
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(ToolMissingError, match="pip install onnxruntime") as error:
        onnx(FIELD, MASK, GRID, params=params)
    assert error.value.exit_code == 4
