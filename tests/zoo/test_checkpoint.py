from functools import partial

import pytest
import torch

from truejoule.errors import InputError
from truejoule.training.quantised import QuantConv2d, QuantLinear
from truejoule.zoo import load
from truejoule.zoo.bundle import HERE, checkpoint_path
from truejoule.zoo.checkpoint import load_into, read, save
from truejoule.zoo.fashion_snn import FashionSNN

WEIGHTS = ("conv1", "conv2", "conv3", "fc1", "fc2")


def test_the_file_holds_integers_of_four_bits_and_one_scale_per_layer():
    tensors, facts = read(checkpoint_path("fashion_snn"))
    assert facts["bits"] == 4 and facts["trained_epochs"] == facts["epochs"]
    for name in WEIGHTS:
        integers, scale = tensors[f"layers.{name}.weight"], tensors[f"layers.{name}.scale"]
        assert integers.dtype == torch.int8 and int(integers.abs().max()) <= 7
        assert scale.shape == () and scale.dtype == torch.float32 and scale > 0
        assert integers.unique().numel() > 8, "the grid is used"


def test_loaded_weights_are_exactly_scale_times_integer():
    net, (tensors, _) = load("fashion_snn"), read(checkpoint_path("fashion_snn"))
    for name in WEIGHTS:
        weight, scale = net.get_submodule(f"layers.{name}").weight, tensors[f"layers.{name}.scale"]
        assert torch.equal(weight, tensors[f"layers.{name}.weight"].float() * scale)
        assert torch.equal((weight / scale).round() * scale, weight)


def test_the_loaded_network_is_plain_and_in_eval_mode():
    net = load("fashion_snn")
    assert not net.training and not any(module.training for module in net.modules())
    assert not any(isinstance(module, QuantConv2d | QuantLinear) for module in net.modules())


def test_a_network_survives_the_way_to_disk_and_back(tmp_path):
    torch.manual_seed(0)
    trained = FashionSNN(conv=partial(QuantConv2d, bits=4), linear=partial(QuantLinear, bits=4)).eval()
    x = torch.rand(8, 1, 28, 28)
    save(trained, tmp_path / "net.safetensors", {"seed": 0})
    loaded = load_into(FashionSNN(), tmp_path / "net.safetensors")
    with torch.no_grad():
        torch.testing.assert_close(loaded(x), trained(x), rtol=1e-5, atol=1e-6)
    assert read(tmp_path / "net.safetensors")[1] == {"seed": 0}


def test_missing_and_broken_files_teach(tmp_path):
    with pytest.raises(InputError, match="missing"):
        read(tmp_path / "absent.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(InputError, match="cannot be read"):
        read(tmp_path / "broken.safetensors")


def test_unknown_network_teaches():
    with pytest.raises(InputError, match="did you mean 'fashion_snn'"):
        load("fashon_snn")


def test_files_are_small():
    assert sum(path.stat().st_size for path in HERE.iterdir() if path.is_file()) < 1_500_000
