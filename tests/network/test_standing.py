"""Layers whose input stands still: found by looking, computed once by machines that keep their sums."""

import pytest
import torch
from torch import nn

import truejoule as tj
from small_networks import ReluNet, Spike, SpikingNet
from truejoule.workload import Neuron, shapes
from truejoule.workload.standing import computed_once, held

PERFECT = dict(adc_bits=None, r_wl="0 ohm", r_bl="0 ohm", programming_variation=0.0)


class Moving(nn.Module):
    """Takes (T, N, 2, 8, 8) and may be given an image that stands still, or does not."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.spike = nn.Conv2d(2, 3, 3, padding=1), Spike()
        self.head = nn.Linear(3 * 64, 4)

    def forward(self, x):
        return sum(self.head(self.spike(self.conv(frame)).flatten(1)) for frame in x) / len(x)


def image(n=4):
    torch.manual_seed(1)
    return torch.randint(0, 256, (n, 2, 8, 8)).float() / 255


def standing(net, x, **options):
    return [layer.name for layer in tj.observe(net, x, **options).layers if layer.standing]


def test_what_depends_on_the_image_alone_stands_still():
    assert standing(SpikingNet(steps=3), image()) == ["conv1", "norm1"]
    # One step shows nothing; the same network at other T is compared with this one, so it is read alike.
    assert standing(SpikingNet(steps=1), image(), time_steps=1) == ["conv1", "norm1"]
    assert standing(SpikingNet(steps=1), (image() > 0.5).float(), time_steps=1) == [], "spikes may well change"
    assert standing(ReluNet(), image()) == [], "without spikes there is no time"


def test_the_table_says_so():
    assert "same input in every time step: conv1, norm1" in tj.observe(SpikingNet(steps=3), image()).table()
    assert "same input" not in tj.observe(SpikingNet(steps=1), image(), time_steps=1).table()


def test_an_input_that_changes_does_not():
    frames = torch.stack([image(), 1 - image(), image()])
    assert standing(Moving(), frames, time_axis=0) == []
    assert standing(Moving(), torch.stack([image()] * 3), time_axis=0) == ["conv"]


def test_a_silent_layer_is_not_taken_for_one():
    net = SpikingNet(steps=3)
    net.norm1.bias.data.fill_(-100.0)
    assert "conv2" not in standing(net, image())


class Recurrent(nn.Module):
    """A hidden state that goes through weights in every step."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.inp, self.rec, self.spike, self.head = (
            nn.Linear(6, 5),
            nn.Linear(5, 5, bias=False),
            Spike(),
            nn.Linear(5, 2),
        )

    def forward(self, x):
        h, total = torch.zeros(len(x), 5), 0
        for _ in range(4):
            h = self.spike(self.inp(x) + self.rec(h))
            total = total + self.head(h)
        return total / 4


def test_a_silent_recurrent_layer_is_not_taken_for_one():
    net = Recurrent()
    net.inp.bias.data.fill_(-100.0)
    assert "rec" not in standing(net, torch.rand(3, 6))


def test_energy_over_time_does_not_depend_on_the_steps_that_were_run():
    from truejoule.accelerators.over_time import Observed, with_time_steps

    names = [
        [
            x.name
            for x in with_time_steps(
                Observed(tj.observe(SpikingNet(steps=t), image(), time_steps=t, data=image())), 4
            ).workload.layers
            if x.standing
        ]
        for t in (1, 3)
    ]
    assert names[0] == names[1] == ["conv1", "norm1"]


def test_shapes_show_their_image_directly():
    def names(**options):
        return [x.name for x in shapes.network("resnet18-cifar", **options).layers if x.standing]

    assert names(time_steps=4, neuron=Neuron()) == ["conv1", "norm1"]
    assert names(time_steps=4, neuron=Neuron(), input_bits=1) == [] == names()


def test_held_layers_are_those_whose_sums_are_needed_again():
    workload = tj.observe(SpikingNet(steps=3), image())
    once = computed_once(workload)
    assert [x.name for x in held(once)] == ["conv1"] and held(workload) == ()
    assert once["conv1"].steps == once["norm1"].steps == 1 and once["conv2"].steps == 3


@pytest.mark.parametrize(
    ("machine", "overrides"), [("sata", {}), ("spikeflow", PERFECT), ("spikeflow", dict(adc_bits=3))]
)
def test_computing_once_changes_no_answer(machine, overrides):
    net = tj.read(SpikingNet(steps=3), image())
    answers, work = [], []
    for how in ("once", "every step"):
        deployed = tj.accelerator(machine, standing_input=how, **overrides).deploy(net)
        answers.append(deployed(image()))
        work.append(deployed.measurement().work)
    assert torch.equal(*answers)
    for quantity, values in work[1]["conv1"].items():
        assert len(values) == 3 and work[0]["conv1"][quantity] == pytest.approx(values[:1])
    assert work[0]["conv2"] == work[1]["conv2"]


def test_read_noise_is_drawn_once_for_sums_that_are_kept():
    seen = []
    net = tj.read(SpikingNet(steps=3), image())
    for how in ("once", "every step"):
        deployed = tj.accelerator("spikeflow", standing_input=how, read_noise=0.2).deploy(net)
        sums: list[torch.Tensor] = []
        deployed.module.norm1.register_forward_hook(lambda _m, inputs, _out, sums=sums: sums.append(inputs[0].clone()))
        deployed(image())
        seen.append([torch.equal(sums[0], later) for later in sums[1:]])
    assert seen == [[True, True], [False, False]]


def test_an_input_that_moves_later_is_refused():
    net = tj.read(Moving(), torch.stack([image()] * 3), time_axis=0)
    deployed = tj.accelerator("sata").deploy(net)
    deployed(torch.stack([image()] * 3))
    with pytest.raises(tj.InputError, match="stood still in the example") as error:
        deployed(torch.stack([image(), image(), 1 - image()]))
    assert "time step 3" in str(error.value) and "every step" in str(error.value)
    tj.accelerator("sata", standing_input="every step").deploy(net)(torch.stack([image(), image(), 1 - image()]))


def test_a_module_that_takes_all_steps_at_once():
    class Wrapped(nn.Module):
        """One call of the convolution for all time steps, as SpikingJelly's multi-step mode does."""

        def __init__(self):
            super().__init__()
            self.inner = Moving()

        def forward(self, x):
            flat = self.inner.conv(x.flatten(0, 1)).unflatten(0, x.shape[:2])
            return sum(self.inner.head(self.inner.spike(frame).flatten(1)) for frame in flat) / len(x)

    frames = torch.stack([image()] * 3)
    assert standing(Wrapped(), frames, time_axis=0) == ["inner.conv"]
    net = tj.read(Wrapped(), frames, time_axis=0)
    once, again = (tj.accelerator("sata", standing_input=h).deploy(net) for h in ("once", "every step"))
    assert torch.equal(once(frames), again(frames))
    assert len(once.measurement().work["inner.conv"]["accumulates"]) == 1
