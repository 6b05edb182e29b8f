"""Operations and neuron units against the two anchors."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from truejoule.components import logic, neuron_unit
from truejoule.components.technology import Node
from truejoule.errors import InputError

HOME, SATA = logic.HOROWITZ_NODE, logic.SATA_NODE
PER_PE = 1e3  # mW


def test_width_rules_give_the_macs_of_the_facts():
    assert logic.mac(4, Node(14, 0.8)).value == pytest.approx(0.0129e-12, abs=5e-17)
    assert logic.mac(8, Node(14, 0.8)).value == pytest.approx(0.0370e-12, abs=5e-17)


def test_printed_operations_are_in_the_band_of_the_rule():
    for bits in (8, 16, 32):
        printed, ruled = logic.HOROWITZ[f"int{bits} add"], logic.add(bits, HOME)
        assert ruled.low <= printed.value * (1 + 1e-9) and printed.value <= ruled.high
        printed, ruled = logic.HOROWITZ[f"int{bits} multiply"], logic.multiply(bits, HOME)
        assert ruled.low <= printed.value <= ruled.high


@pytest.mark.parametrize(
    ("found", "femtojoule"),
    [
        (logic.and_gate(8, SATA), 5.9),
        (logic.add(8, SATA, anchor="sata-28"), 42),
        (logic.register(16, SATA), 63),
        (logic.mac(8, SATA, accumulator_bits=8, anchor="sata-28"), 247.5),
    ],
)
def test_sata_kernels_at_400_mhz(found, femtojoule):
    assert found.value * 1e15 == pytest.approx(femtojoule, rel=0.01)


def test_spike_mac_and_ann_mac_of_sata():
    spike_mac = logic.accumulate(8, SATA, anchor="sata-28").plus(logic.register(16, SATA), "spike-mac")
    assert spike_mac.value == pytest.approx(0.111e-12, rel=0.005)
    kernels = [logic.multiply(8, SATA, anchor="sata-28"), logic.add(8, SATA, anchor="sata-28")]
    kernels += [logic.register(16, SATA), logic.register(16, SATA), logic.register(8, SATA), logic.register(8, SATA)]
    assert sum(k.value for k in kernels) == pytest.approx((0.06698 + 0.10721) / PER_PE / 400e6, rel=1e-3)


@pytest.mark.parametrize("operation", [logic.add, logic.multiply, logic.mac])
def test_anchors_overlap_within_their_bands(operation):
    for bits in (4, 8, 16):
        a, b = (operation(bits, SATA, anchor=anchor) for anchor in ("horowitz-45", "sata-28"))
        assert a.low <= b.high and b.low <= a.high


@given(
    st.sampled_from([logic.add, logic.multiply, logic.compare, logic.mac]),
    st.sampled_from(["horowitz-45", "sata-28"]),
    st.floats(1, 20),
    st.floats(0.01, 5),
)
def test_wider_operands_never_cost_less(operation, anchor, bits, more):
    node = Node(28, 0.9)
    assert operation(bits + more, node, anchor=anchor).value >= operation(bits, node, anchor=anchor).value


@given(st.sampled_from(logic.KERNELS), st.floats(1, 64))
def test_every_kernel_has_energy_leakage_and_area(kernel, bits):
    for price in (logic.kernel_energy, logic.kernel_leakage, logic.kernel_area):
        found = price(kernel, bits, Node(65, 1.0))
        assert 0 < found.low < found.value < found.high


def test_unequal_widths():
    assert logic.multiply(4, HOME, other_bits=8).value == pytest.approx(0.1e-12)
    assert logic.multiply(1, SATA, other_bits=8, anchor="sata-28").value == logic.and_gate(8, SATA).value


def test_proxies_are_labelled():
    assert logic.PROXY_MAC.value == pytest.approx(4.6e-12) and logic.PROXY_AC.value == pytest.approx(0.9e-12)
    assert "proxy" in logic.PROXY_AC.source and "proxy" in logic.PROXY_MAC.source
    assert logic.floating("add", 32, HOME).value == pytest.approx(0.9e-12)


def test_sums_do_not_repeat_their_sources():
    source = logic.mac(8, Node(14, 0.8)).source
    assert source.count("Stillmaker") == 1 and source.count("band spans") == 1


def test_errors_teach():
    with pytest.raises(InputError, match="1 to 64 bits"):
        logic.add(0, HOME)
    with pytest.raises(InputError, match="did you mean 'sata-28'"):
        logic.add(8, HOME, anchor="sata28")
    with pytest.raises(InputError, match="did you mean 'adder'"):
        logic.kernel_energy("addr", 8, HOME)
    with pytest.raises(InputError):
        logic.floating("add", 8, HOME)


def test_lif_unit_is_the_composition_of_sata():
    unit = neuron_unit.lif_unit(SATA)
    assert unit.gated is not None
    assert unit.ungated.value == pytest.approx(0.05625 / PER_PE / 400e6)
    assert unit.gated.value == pytest.approx(0.01886 / PER_PE / 400e6)
    assert unit.update.value == pytest.approx(0.188e-12, rel=2e-3)
    assert unit.leakage.value == pytest.approx(8.4e-8, rel=0.01)
    assert unit.area.value == pytest.approx(1.29e-10, rel=0.003)


def test_relu_unit_has_no_state():
    unit = neuron_unit.relu_unit(SATA)
    assert unit.gated is None and unit.update is unit.ungated
    assert unit.ungated.value == pytest.approx(0.01955 / PER_PE / 400e6)
    assert (
        neuron_unit.lif_unit(SATA, leak=True).ungated.value
        > neuron_unit.lif_unit(SATA).ungated.value
        > unit.ungated.value
    )


def test_spikesim_update_and_membrane():
    assert neuron_unit.spikesim_update(Node(65, 1.0)).value == pytest.approx(5.096e-12)
    node = Node(28, 0.9)
    big, small = (neuron_unit.membrane_access(n, node) for n in (65536, 1024))
    assert big.unit == "J" and big.value > small.value > neuron_unit.lif_unit(node).update.value
    assert neuron_unit.membrane_access(10, node).value == logic.register(22, node).value
    with pytest.raises(InputError):
        neuron_unit.membrane_access(0, node)
