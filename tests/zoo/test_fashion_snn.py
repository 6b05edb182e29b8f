import subprocess
import sys
from functools import partial

import pytest
import torch

from truejoule.training import data
from truejoule.training.bptt import outputs_over_time
from truejoule.training.neurons import LIF
from truejoule.training.quantised import QuantConv2d, QuantLinear
from truejoule.zoo import images, load, loader
from truejoule.zoo.bundle import checkpoint_path
from truejoule.zoo.checkpoint import read
from truejoule.zoo.fashion_snn import FashionSNN
from truejoule.zoo.measure import accuracy, spike_density
from truejoule.zoo.train import main, train_epoch

RIGHT_OF_BUNDLED = 929  # of 1,000; measured when the checkpoint was made, see zoo/README.md
RIGHT_OF_TEST_SET = 9187  # of 10,000


@pytest.fixture(scope="module")
def net():
    return load("fashion_snn")


def test_accuracy_on_the_bundled_images_is_the_recorded_one(net):
    with torch.no_grad():
        right = sum(int((net(x).argmax(1) == y).sum()) for x, y in loader(batch_size=250))
    assert right == RIGHT_OF_BUNDLED


def test_accuracy_on_the_whole_test_set(net, fashion_mnist):
    value = accuracy(net, *data.read_split(fashion_mnist, "test"))
    assert value >= 0.91
    assert value == pytest.approx(RIGHT_OF_TEST_SET / 10_000, abs=2e-4)  # another CPU may round a spike away
    assert read(checkpoint_path("fashion_snn"))[1]["test_accuracy"] == pytest.approx(value, abs=2e-4)


def test_each_image_is_judged_alone(net):
    x, _ = images(8)
    with torch.no_grad():
        torch.testing.assert_close(torch.cat([net(one) for one in x.split(1)]), net(x), rtol=1e-4, atol=1e-4)


def test_calls_are_independent_and_leave_no_state(net):
    x, _ = images(4)
    with torch.no_grad():
        first = net(x)
        net(x.flip(0))
        assert torch.equal(net(x), first)
    assert all(module.v is None for module in net.modules() if isinstance(module, LIF))


def test_the_answer_is_the_mean_over_steps_and_steps_differ(net):
    x, _ = images(16)
    with torch.no_grad():
        outputs = net.outputs(x)
        assert outputs.shape == (4, 16, 10)
        assert torch.equal(net(x), outputs.mean(0)) and not torch.equal(outputs[0], outputs[3])
        torch.testing.assert_close(outputs_over_time(net.layers, x, 4), outputs, rtol=1e-4, atol=1e-4)


def test_weight_layers_but_the_first_see_binary_inputs(net):
    x, _ = images(4)
    seen = {}
    handles = [
        module.register_forward_pre_hook(lambda _module, inputs, name=name: seen.setdefault(name, []).append(inputs[0]))
        for name, module in net.layers.named_children()
        if hasattr(module, "weight") and not name.startswith("bn")
    ]
    with torch.no_grad():
        net(x)
    for handle in handles:
        handle.remove()
    assert all(len(inputs) == 4 for inputs in seen.values()), "each layer runs once per time step"
    assert all(torch.equal(shown, x) for shown in seen.pop("conv1"))
    assert set(seen) == {"conv2", "conv3", "fc1", "fc2"}
    for inputs in seen.values():
        assert set(torch.stack(inputs).unique().tolist()) == {0.0, 1.0}


def test_spikes_are_sparse(net):
    x, _ = images(200)
    density = spike_density(net, (x[:, 0] * 255).round().to(torch.uint8))
    assert set(density) == {"layers.lif1", "layers.lif2", "layers.lif3", "layers.lif4"}
    assert all(0.01 < value < 0.35 for value in density.values())


def test_a_few_training_steps_lower_the_loss():
    torch.manual_seed(0)
    net = FashionSNN(conv=partial(QuantConv2d, bits=4), linear=partial(QuantLinear, bits=4))
    batch = images(64)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    losses = [train_epoch(net, [batch], optimiser) for _ in range(6)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_wrong_data_folder_is_exit_code_2_without_traceback(tmp_path, capsys):
    threads = torch.get_num_threads()
    try:
        assert main(["fashion_snn", "--data", str(tmp_path / "nowhere")]) == 2
    finally:
        torch.set_num_threads(threads)
    assert "data folder does not exist" in capsys.readouterr().err


def test_the_command_exists():
    done = subprocess.run([sys.executable, "-m", "truejoule.zoo.train", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "--data" in done.stdout


@pytest.mark.slow
def test_the_recipe_learns_in_one_epoch_and_repeats_with_its_seed(fashion_mnist, tmp_path):
    threads = torch.get_num_threads()
    try:
        for name in ("a", "b"):
            main(["fashion_snn", "--data", str(fashion_mnist), "--epochs", "1", "--out", str(tmp_path / name)])
    finally:
        torch.set_num_threads(threads)
    (first, facts), (again, _) = read(tmp_path / "a"), read(tmp_path / "b")
    assert facts["test_accuracy"] > 0.85
    assert all(torch.equal(first[name], again[name]) for name in first)
