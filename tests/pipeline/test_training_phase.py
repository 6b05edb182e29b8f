"""Training energy as a phase of an evaluation: zeros of a real step, priced by the machine."""

import json

import pytest
from torch.nn import functional

import truejoule as tj
from truejoule import zoo


@pytest.fixture(scope="module")
def data():
    return list(zoo.loader(batch_size=16, n=16))


def test_a_real_step_is_measured_and_priced(data):
    e = tj.evaluate(zoo.load("fashion_snn"), tj.accelerator("sata"), data, training_loss=functional.cross_entropy)
    assert e.training is not None
    found = json.loads(json.dumps(e.to_json(), allow_nan=False))["training"]
    assert found["energy_j"] == pytest.approx(sum(found["by_component"].values())) == e.training.cost.ledger.total_j
    assert found["note"] and "16 samples" in found["origin"]
    # Spikes of the step in training mode, against the spikes that were counted in evaluation: the same layers are sparse.
    for name in ("layers.conv2", "layers.conv3"):
        ideal = 1 - e.workload.activity.layers[name].mean_density()
        assert sum(found["zeros"]["spike"][name]) / 4 == pytest.approx(ideal, abs=0.1)


def test_sparser_steps_cost_less(data):
    machine = tj.accelerator("sata")
    e = tj.evaluate(zoo.load("fashion_snn"), machine, data, training_loss=functional.cross_entropy)
    from truejoule.workload import TrainingSparsity

    dense = machine.training(e.workload, TrainingSparsity(0.0, 0.0, 0.0, "dense"))
    assert dense.ledger.total_j > e.training.cost.ledger.total_j


def test_without_a_loss_there_is_no_training(data):
    assert tj.evaluate(zoo.load("fashion_snn"), tj.accelerator("sata"), data).to_json()["training"] is None


def test_machines_without_a_model_say_so(data):
    with pytest.raises(tj.InputError, match="no model of training"):
        tj.evaluate(zoo.load("fashion_snn"), tj.accelerator("spikeflow"), data, training_loss=functional.cross_entropy)
