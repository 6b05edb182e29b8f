"""Spiking networks whose neurons are modules: where state lives, which axis is time, who loops."""

from __future__ import annotations

import pytest
import torch
from family import Family, check, events, image, norm
from spiking_parts import Cuba, Current, Filled, Flat, Kept, Looped, Pair, Scaled, Squeezed
from torch import Tensor, nn

import truejoule as tj
from truejoule.network import read


class Tutorial(nn.Module):
    """snnTorch tutorial 5: membranes are variables of the loop; spikes and membranes of every step are the output."""

    def __init__(self, first: nn.Module, second: nn.Module, steps: int = 5) -> None:
        super().__init__()
        self.fc1, self.fc2, self.steps = nn.Linear(16, 12), nn.Linear(12, 5), steps
        self.lif1, self.lif2 = first, second
        self.fc1.weight.data *= 4
        self.fc2.weight.data *= 4

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        state1, state2 = [torch.zeros(1)] * (2 if isinstance(self.lif1, Current) else 1), [torch.zeros(1)]
        spikes, membranes = [], []
        for _ in range(self.steps):
            spk1, *state1 = self.lif1(self.fc1(x.flatten(1)), *state1)
            spk2, *state2 = self.lif2(self.fc2(spk1), *state2)
            spikes.append(spk2)
            membranes.append(state2[0])
        return torch.stack(spikes), torch.stack(membranes)


class Norse(nn.Module):
    """Events (T, N, ...), read step by step; states are None at first; scores of all steps come out."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.lif1, self.conv2, self.lif2 = nn.Conv2d(2, 6, 3), Cuba(), nn.Conv2d(6, 8, 3), Cuba()
        self.fc = nn.Linear(8, 5)
        self.conv1.weight.data *= 6

    def forward(self, x: Tensor) -> Tensor:
        s1 = s2 = None
        scores = torch.zeros(x.shape[0], x.shape[1], 5)
        for t in range(x.shape[0]):
            z, s1 = self.lif1(self.conv1(x[t]), s1)
            z, s2 = self.lif2(10 * self.conv2(torch.max_pool2d(z, 2, 2)), s2)
            scores[t] = self.fc(z.flatten(1))
        return scores


class Tet(nn.Module):
    """(N, T, ...) everywhere; outputs of all steps, which TET's loss takes one by one and SEENN leaves early."""

    def __init__(self, channels: int = 3, steps: int = 0, per_channel: bool = False) -> None:
        super().__init__()
        self.steps = steps
        self.features = nn.Sequential(
            *(Flat(nn.Conv2d(channels, 6, 3, 1, 1), norm(6)), Looped(6 * per_channel)),
            *(Flat(nn.Conv2d(6, 8, 3, 1, 1), norm(8)), Looped(8 * per_channel), Flat(nn.AvgPool2d(2))),
        )
        self.classifier = Flat(nn.Linear(128, 5))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.stack([x] * self.steps, dim=1) if self.steps else x
        return self.classifier(torch.flatten(self.features(x), 2))


class Twice(nn.Module):
    """TET's ResNet-19: one neuron object at two places; harmless, as it forgets everything between calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2, self.fc = (
            Flat(nn.Conv2d(3, 6, 3), norm(6)),
            Flat(nn.Conv2d(6, 8, 3), norm(8)),
            Flat(nn.Linear(128, 5)),
        )
        self.spike = Looped()

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze_(1).repeat(1, 4, 1, 1, 1)  # changes the shape of its input in place
        return self.fc(self.spike(self.conv2(self.spike(self.conv1(x)))).flatten(2))


class Membrane(nn.Module):
    """MS-ResNet: the shortcut carries membranes; convolutions loop over T, norms see (N, C, T, H, W)."""

    class Over(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            out = torch.zeros(*x.shape[:2], self.out_channels, *x.shape[3:])
            for t in range(len(x)):
                out[t] = super().forward(x[t])
            return out

    def __init__(self, steps: int = 4) -> None:
        super().__init__()
        self.steps = steps
        self.stem, self.spike1, self.conv1 = self.Over(3, 6, 3, 1, 1), Filled(steps), self.Over(6, 6, 3, 1, 1)
        self.spike2, self.fc = Filled(steps), nn.Linear(6, 5)
        self.bn1, self.bn2 = (self.norm() for _ in range(2))

    def norm(self) -> nn.Module:
        made = nn.BatchNorm3d(6)
        made.running_var.uniform_(0.03, 0.15)
        return made

    def normed(self, bn: nn.Module, x: Tensor) -> Tensor:
        y = x.transpose(0, 2).contiguous().transpose(0, 1).contiguous()
        return bn(y).transpose(0, 1).contiguous().transpose(0, 2)

    def forward(self, x: Tensor) -> Tensor:
        sequence = torch.zeros(self.steps, *x.shape)
        for t in range(self.steps):
            sequence[t] = x
        x = self.normed(self.bn1, self.stem(sequence))
        x = self.normed(self.bn2, self.conv1(self.spike1(x))) + x
        x = torch.nn.functional.adaptive_avg_pool3d(self.spike2(x), (None, 1, 1)).flatten(2)
        return self.fc(x.sum(dim=0) / x.shape[0])


class Residual(nn.Module):
    """SpikingJelly's blocks: SEW adds spikes behind the neuron, the spiking ResNet adds in place in front of it."""

    def __init__(self, sew: bool, mode: str = "m") -> None:
        super().__init__()
        self.sew, self.mode = sew, mode
        self.sn1, self.sn2, self.sn3 = Kept(step_mode=mode), Kept(2.0, step_mode=mode), Kept(0, False, mode)
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, 6, 3, 1, 1, bias=False) for c in (3, 6, 6))
        self.bn1, self.bn2, self.bn3 = (norm(6) for _ in range(3))
        self.pool, self.fc = nn.AdaptiveAvgPool2d((1, 1)), nn.Linear(6, 5)

    def flat(self, x: Tensor, *layers: nn.Module) -> Tensor:
        run = nn.Sequential(*layers)
        return Flat(*layers)(x) if self.mode == "m" else run(x)

    def forward(self, x: Tensor) -> Tensor:
        x = identity = self.sn1(self.flat(x, self.conv1, self.bn1))
        out = self.flat(x, self.conv2, self.bn2)
        if self.sew:
            out = self.sn2(out)
            out += identity
        else:
            out += identity
            out = self.sn2(out)
        out = self.sn3(self.flat(out, self.conv3, self.bn3))
        return self.flat(out, self.pool, nn.Flatten(1), self.fc)


class Vgg(nn.Sequential):
    """SpikingJelly's spiking VGG: a pooling that makes the map larger, a neuron between linear layers."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 6, 3, padding=1), norm(6), Kept(), nn.MaxPool2d(2, 2)),
            *(nn.Conv2d(6, 6, 3, padding=1), norm(6), Kept(), nn.MaxPool2d(2, 2)),
            *(nn.AdaptiveAvgPool2d((5, 5)), nn.Flatten(), nn.Linear(150, 12), Kept(), nn.Dropout(), nn.Linear(12, 5)),
        )
        self[10].weight.data *= 4


class Shared(nn.Module):
    """EfficientLIF: one neuron for groups of channels (its state runs from group to group) and for two layers."""

    def __init__(self, over: str, steps: int = 3, groups: int = 2, loop: bool = True) -> None:
        super().__init__()
        self.over, self.steps, self.groups, self.loop = over, steps, groups, loop
        self.conv1, self.conv2, self.conv3 = (nn.Conv2d(c, 6, 3, padding=1, bias=False) for c in (3, 6, 6))
        self.bn1, self.bn2, self.bn3, self.fc = norm(6), norm(6), norm(6), nn.Linear(6, 5)
        self.lif1, self.lif2, self.lif3 = (Kept(1.3333, False) for _ in range(3))

    def spikes(self, lif: nn.Module, x: Tensor) -> Tensor:
        if "channels" in self.over:
            return torch.cat([lif(part) for part in x.chunk(self.groups, 1)], dim=1)
        return lif(x)

    def step(self, still: Tensor) -> Tensor:
        y = self.spikes(self.lif1, still)
        y = self.spikes(self.lif2, self.bn2(self.conv2(y)))
        y = self.spikes(self.lif2 if "layers" in self.over else self.lif3, self.bn3(self.conv3(y)))
        return self.fc(y.mean((2, 3)))

    def forward(self, x: Tensor) -> Tensor | list[Tensor]:
        still = self.bn1(self.conv1(x))
        return [self.step(still) for _ in range(self.steps)] if self.loop else self.step(still)


class Converted(nn.Sequential):
    """QCFS: the network of the ANN with its staircases replaced; one time step per call."""

    def __init__(self) -> None:
        super().__init__(
            *(nn.Conv2d(3, 6, 3, padding=1), norm(6), Scaled(1.7), nn.AvgPool2d(2)),
            *(nn.Conv2d(6, 6, 3, padding=1), norm(6), Scaled(0.8), nn.Flatten(), nn.Linear(96, 5)),
        )


class Sinabs(nn.Module):
    """(N, T, ...) from the user, (N*T, ...) everywhere inside, as Sinabs' squeezing layers want it."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Conv2d(2, 6, 3, bias=False), Squeezed(steps), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3, bias=False)),
            *(Squeezed(steps), nn.Flatten(), nn.Linear(8, 5, bias=False), Squeezed(steps)),
        )
        for index in (0, 3, 6):
            self.layers[index].weight.data *= 4

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(0, 1)).unflatten(0, x.shape[:2])


def tutorial(first: nn.Module, second: nn.Module | None = None) -> Family:
    make = lambda: Tutorial(first, second or Pair(0.8))  # noqa: E731
    return Family(make, lambda: image(3, 1, 4), 3, 5, (Pair, Current))


STEP = {"time_steps": 4}
FAMILIES = {
    "snnTorch": tutorial(Pair(0.9)),
    "snnTorch, beta per neuron": tutorial(Pair(0.9), Pair(torch.tensor([0.2, 0.9, 0.5, 0.7, 0.1]))),
    "snnTorch, threshold per neuron": tutorial(Pair(0.9, torch.linspace(0.3, 1.4, 12))),
    "snnTorch, second order": tutorial(Current()),
    "Norse": Family(Norse, lambda: events(6, 3, 2, 8, 8), 3, 6, (Cuba,), options={"time_axis": 0}),
    "TET": Family(
        lambda: Tet(2), lambda: events(3, 4, 2, 8, 8), 3, 4, (Looped,), at_once=True, options={"time_axis": 1}
    ),
    "TET, axis from the neuron": Family(lambda: Tet(2), lambda: events(2, 4, 2, 8, 8), 2, 4, (Looped,), at_once=True),
    "TET, as many samples as steps": Family(
        lambda: Tet(2), lambda: events(4, 4, 2, 8, 8), 4, 4, (Looped,), at_once=True
    ),
    "SEENN": Family(lambda: Tet(3, 4), image, 3, 4, (Looped,), at_once=True),
    "SEENN, PLIF per channel": Family(lambda: Tet(3, 4, True), image, 3, 4, (Looped,), at_once=True),
    "MS-ResNet": Family(Membrane, image, 3, 4, (Filled,), at_once=True),
    "SEW-ResNet": Family(
        lambda: Residual(True),
        lambda: image(8, 3).view(4, 2, 3, 8, 8),
        2,
        4,
        (Kept,),
        at_once=True,
        options={"time_axis": 0},
        inputs={"conv2": (1, False), "conv3": (2, False)},
    ),
    "SEW-ResNet, one step": Family(lambda: Residual(True, "s"), image, 3, 4, (Kept,), outer=True, options=STEP),
    "spiking ResNet": Family(
        lambda: Residual(False), lambda: image(8, 3).view(4, 2, 3, 8, 8), 2, 4, (Kept,), at_once=True
    ),
    "spiking ResNet, one step": Family(lambda: Residual(False, "s"), image, 3, 4, (Kept,), outer=True, options=STEP),
    "spiking VGG": Family(Vgg, lambda: image(2), 2, 4, (Kept,), outer=True, options=STEP),
    "EfficientLIF, nothing shared": Family(lambda: Shared("nothing"), image, 3, 3, (Kept,)),
    "EfficientLIF over channels": Family(lambda: Shared("channels"), image, 3, 3, (Kept,)),
    "EfficientLIF over channels, as many groups as steps": Family(
        lambda: Shared("channels", 3, 3), image, 3, 3, (Kept,)
    ),
    "EfficientLIF over layers": Family(lambda: Shared("layers"), image, 3, 3, (Kept,)),
    "EfficientLIF over layers and channels": Family(lambda: Shared("layers, channels"), image, 3, 3, (Kept,)),
    "EfficientLIF over layers and channels, one step": Family(
        lambda: Shared("layers, channels", loop=False), image, 3, 4, (Kept,), outer=True, options=STEP
    ),
    "tdBN, one forgetful neuron at two places": Family(Twice, image, 3, 4, (Looped,), at_once=True),
    "QCFS": Family(Converted, image, 3, 4, (Scaled,), outer=True, options=STEP),
    "Sinabs": Family(
        lambda: Sinabs(4), lambda: events(3, 4, 2, 8, 8), 3, 4, (Squeezed,), at_once=True, options={"time_axis": 1}
    ),
}


@pytest.mark.parametrize("name", FAMILIES)
def test_read_right(name: str) -> None:
    check(FAMILIES[name])


SHARED = {
    "channels": {"lif1#2": "lif1", "lif2#2": "lif2", "lif3#2": "lif3"},
    "layers": {"lif2#2": "lif2"},
    "layers, channels": {"lif1#2": "lif1", "lif2#2": "lif2", "lif2#3": "lif2", "lif2#4": "lif2"},
}


@pytest.mark.parametrize("over", SHARED)
def test_who_shares_a_state_with_whom_is_said(over: str) -> None:
    family = Family(lambda: Shared(over), image, 3, 3, (Kept,))
    layers = read(family.build(), family.example()).workload.layers
    assert {x.name: x.state_of for x in layers if x.state_of} == SHARED[over]
    assert {x.name: x.note for x in layers if x.note} == {a: f"shares its state with {b}" for a, b in SHARED[over].items()}


def test_a_network_with_shared_states_computes_the_same_on_machines_as_alone() -> None:
    """The membrane memory holds each shared state once; in other orders than time outermost states cannot be handed on, which is said."""
    own, net = Shared("nothing").eval(), Shared("layers, channels").eval()
    data = [(image(6), torch.zeros(6, dtype=torch.long))]
    sata = {flow: tj.accelerator("sata", dataflow=flow) for flow in ("output_stationary", "tick_batch")}
    warned = {flow: tj.evaluate(net, chip, data).warnings for flow, chip in sata.items()}
    assert [any("state of another neuron" in w for w in warned[flow]) for flow in sata] == [False, True]
    assert not any("state of another neuron" in w for w in tj.evaluate(own, sata["tick_batch"], data).warnings)
