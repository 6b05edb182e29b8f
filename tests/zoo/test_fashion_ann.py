from functools import partial

import pytest
import torch

import truejoule as tj
from truejoule import zoo
from truejoule.training import data
from truejoule.training.quantised import QuantConv2d, QuantLinear, QuantReLU
from truejoule.zoo.bundle import checkpoint_path
from truejoule.zoo.checkpoint import load_into, read, save
from truejoule.zoo.fashion_ann import FashionANN
from truejoule.zoo.measure import accuracy
from truejoule.zoo.train import main, train_epoch

RIGHT = {
    8: (943, 9300),
    4: (929, 9244),
}  # of 1,000 and of 10,000; measured when the checkpoints were made, see zoo/README.md
NAMES = {8: "fashion_ann", 4: "fashion_ann_4bit"}
WEIGHTS = ("conv1", "conv2", "conv3", "fc1", "fc2")
FED_BY = {"conv2": "relu1", "conv3": "relu2", "fc1": "relu3", "fc2": "relu4"}
PERFECT = dict(adc_bits=None, r_wl="0 ohm", r_bl="0 ohm", programming_variation=0.0)


@pytest.fixture(scope="module", params=[8, 4])
def bits(request):
    return request.param


@pytest.fixture(scope="module")
def net(bits):
    return zoo.load(NAMES[bits])


@pytest.fixture(scope="module")
def network(net):
    return tj.read(net, zoo.images(50)[0])


@torch.no_grad()
def answers(run, n, batch=50):
    return torch.cat([run(x) for x, _ in zoo.loader(batch, n)])


def test_it_is_the_spiking_network_with_other_activations(net):
    ours, snn = net.layers, zoo.load("fashion_snn").layers
    assert [name.replace("relu", "lif") for name, _ in ours.named_children()] == [n for n, _ in snn.named_children()]
    for mine, other in zip(ours, snn, strict=True):
        if not isinstance(mine, QuantReLU):
            assert repr(mine) == repr(other)
    assert not any(module.training for module in net.modules())


def test_weights_are_exactly_four_bit_integers_times_a_scale(net, bits):
    tensors, facts = read(checkpoint_path(NAMES[bits]))
    assert facts["bits"] == 4 and facts["trained_epochs"] == facts["epochs"]
    for name in WEIGHTS:
        integers, scale = tensors[f"layers.{name}.weight"], tensors[f"layers.{name}.scale"]
        assert integers.dtype == torch.int8 and int(integers.abs().max()) <= 7 and integers.unique().numel() > 8
        assert torch.equal(net.get_submodule(f"layers.{name}").weight, integers.float() * scale)


@torch.no_grad()
def test_weight_layers_but_the_first_see_integers_times_a_stored_step(net, bits):
    tensors, _ = read(checkpoint_path(NAMES[bits]))
    seen = {}
    handles = [
        net.get_submodule(f"layers.{name}").register_forward_pre_hook(
            lambda _module, inputs, name=name: seen.__setitem__(name, inputs[0])
        )
        for name in FED_BY
    ]
    net(zoo.images(100)[0])
    for handle in handles:
        handle.remove()
    for name, activation in FED_BY.items():
        step = tensors[f"layers.{activation}.step"]
        codes = (seen[name] / step).round()
        assert torch.equal(codes * step, seen[name])
        assert codes.min() == 0 and 2 ** (bits - 1) <= codes.max() < 2**bits, "all bits are used"


def test_accuracy_on_the_bundled_images_is_the_recorded_one(net, bits):
    _, labels = zoo.images()
    assert int((answers(net, 1000, 250).argmax(1) == labels).sum()) == RIGHT[bits][0]


def test_accuracy_on_the_whole_test_set(net, bits, fashion_mnist):
    value = accuracy(net, *data.read_split(fashion_mnist, "test"))
    assert value == pytest.approx(RIGHT[bits][1] / 10_000, abs=2e-4)  # another CPU may round a value away
    assert read(checkpoint_path(NAMES[bits]))[1]["test_accuracy"] == pytest.approx(value, abs=2e-4)


def test_observed_with_its_precisions(net, bits):
    workload = tj.observe(net, zoo.images(50)[0])
    assert workload.not_understood == () and workload.time_steps == 1
    assert [layer.name for layer in workload.layers if layer.op == "relu"] == [f"layers.relu{i}" for i in (1, 2, 3, 4)]
    for name in WEIGHTS:
        layer = workload[f"layers.{name}"]
        assert (layer.weight_bits, layer.weight_levels) == (4, "signed")
        assert (layer.input_bits, layer.inputs_signed) == (8 if name == "conv1" else bits, False)


# A sum that rounds differently moves an activation by one step: the answers agree, their last digits need not.
def agrees(plain, on_chip):
    assert float((plain - on_chip).abs().max() / plain.abs().max()) < 0.005
    return float((plain.argmax(1) == on_chip.argmax(1)).float().mean())


@pytest.fixture(scope="module")
def on_spikeflow(network):
    return answers(tj.accelerator("spikeflow", **PERFECT).deploy(network, zoo.calibration()), 100)


def test_a_perfect_spikeflow_answers_like_the_plain_network(net, on_spikeflow):
    assert agrees(answers(net, 100), on_spikeflow) >= 0.99


def test_the_twin_of_sata_answers_like_the_plain_network_and_computes_the_integers_of_spikeflow(
    net, bits, network, on_spikeflow
):
    on_chip = answers(tj.accelerator("sata").ann_twin(bits).deploy(network, zoo.calibration()), 50)
    assert agrees(answers(net, 50), on_chip) == 1.0
    assert torch.equal(on_chip, on_spikeflow[:50])


def test_a_few_training_steps_lower_the_loss_and_survive_the_way_to_disk(tmp_path):
    torch.manual_seed(0)
    trained = FashionANN(conv=partial(QuantConv2d, bits=4), linear=partial(QuantLinear, bits=4))
    batch = zoo.images(64)
    optimiser = torch.optim.AdamW(trained.parameters(), lr=3e-3)
    losses = [train_epoch(trained, [batch], optimiser) for _ in range(6)]
    assert losses[-1] < 0.7 * losses[0]
    save(trained.eval(), tmp_path / "net.safetensors", {})
    loaded = load_into(FashionANN(), tmp_path / "net.safetensors")
    assert loaded.layers.relu1.step == trained.layers.relu1.step
    with torch.no_grad():
        # A sum that rounds differently may move an activation by one step.
        torch.testing.assert_close(loaded(batch[0]), trained(batch[0]), rtol=0.02, atol=0.05)


def test_quantised_relu_rounds_clips_and_passes_the_gradient_inside_its_range():
    relu = QuantReLU(bits=2, largest=1.5).eval()
    x = torch.tensor([-1.0, 0.2, 0.3, 0.75, 1.4, 2.0], requires_grad=True)
    y = relu(x)
    assert y.tolist() == [0.0, 0.0, 0.5, 1.0, 1.5, 1.5]  # 0.75 is half way: to the even integer
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [0.0, 1.0, 1.0, 1.0, 1.0, 0.0]
    assert float(relu.step) == 0.5, "fixed in evaluation"


def test_quantised_relu_follows_the_range_in_training():
    relu = QuantReLU(bits=8, largest=1.0)
    for _ in range(1000):
        relu(torch.tensor([0.5, 5.1]))
    assert float(relu.step) == pytest.approx(5.1 / 255, rel=1e-3)


@pytest.mark.parametrize("wrong", [dict(bits=1), dict(largest=0.0)])
def test_an_impossible_grid_is_refused(wrong):
    with pytest.raises(tj.InputError, match="bits"):
        QuantReLU(**wrong)


def test_the_command_trains_it(tmp_path, capsys):
    threads = torch.get_num_threads()
    try:
        assert main(["fashion_ann", "--data", str(tmp_path / "nowhere")]) == 2
    finally:
        torch.set_num_threads(threads)
    assert "data folder does not exist" in capsys.readouterr().err


@pytest.mark.slow
def test_the_recipe_learns_in_one_epoch_and_repeats_with_its_seed(fashion_mnist, tmp_path):
    threads = torch.get_num_threads()
    try:
        for name in ("a", "b"):
            main(["fashion_ann", "--data", str(fashion_mnist), "--epochs", "1", "--out", str(tmp_path / name)])
    finally:
        torch.set_num_threads(threads)
    (first, facts), (again, _) = read(tmp_path / "a"), read(tmp_path / "b")
    assert facts["test_accuracy"] > 0.85
    assert all(torch.equal(first[name], again[name]) for name in first)
