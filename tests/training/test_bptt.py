import torch
from torch import nn

from truejoule.training.bptt import outputs_over_time, refresh_batchnorm
from truejoule.training.losses import tet
from truejoule.training.neurons import LIF, reset
from truejoule.training.quantised import QuantConv2d, QuantLinear


def small_net():
    torch.manual_seed(0)
    return nn.Sequential(
        QuantConv2d(1, 4, 3, padding=1, bias=False, bits=4),
        nn.BatchNorm2d(4),
        LIF(),
        nn.MaxPool2d(2),
        QuantConv2d(4, 6, 3, bias=False, bits=4),
        nn.BatchNorm2d(6),
        LIF(),
        nn.Flatten(),
        QuantLinear(6 * 16, 3, bits=4),
    )


def test_layer_by_layer_equals_step_by_step():
    net, x = small_net().eval(), torch.rand(5, 1, 12, 12, generator=torch.Generator().manual_seed(1)) * 4
    with torch.no_grad():
        by_layer = outputs_over_time(net, x, 4)
        reset(net)
        by_step = torch.stack([net(x) for _ in range(4)])
    assert by_layer.shape == (4, 5, 3) and by_layer.std() > 0
    torch.testing.assert_close(by_layer, by_step, rtol=1e-5, atol=1e-6)


def test_it_starts_from_rest_and_leaves_no_state():
    net, x = small_net().eval(), torch.rand(2, 1, 12, 12)
    net[2].v = torch.full((2, 4, 12, 12), 9.0)
    first = outputs_over_time(net, x, 3)
    assert net[2].v is None and torch.equal(first, outputs_over_time(net, x, 3))


def test_a_stack_without_neurons_repeats_itself():
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    out = outputs_over_time(net, torch.rand(3, 1, 2, 2), 5)
    assert out.shape == (5, 3, 2) and torch.equal(out[0], out[4])


def test_refreshed_statistics_are_those_of_the_batches():
    net = nn.Sequential(nn.BatchNorm2d(1)).eval()
    batches = [torch.full((2, 1, 2, 2), value) + torch.tensor([-1.0, 1.0]).view(2, 1, 1, 1) for value in (1.0, 3.0)]
    refresh_batchnorm(net, batches, steps=1)
    norm = net[0]
    assert norm.running_mean.item() == 2.0 and norm.momentum == 0.1 and not net.training


def test_smoke_training_the_loss_goes_down():
    net = small_net()
    generator = torch.Generator().manual_seed(2)
    y = torch.randint(0, 3, (64,), generator=generator)
    x = torch.rand(64, 1, 12, 12, generator=generator)
    for k in range(3):
        x[y == k, :, 4 * k : 4 * k + 4] += 1.0
    optimiser, losses = torch.optim.AdamW(net.parameters(), lr=1e-2), []
    for _ in range(25):
        loss = tet(outputs_over_time(net, x, 4), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.5 * losses[0]
