"""When is the spiking network really cheaper? The bundled SNN and the trained ANNs of the same topology on the same digital array, in one report.

python examples/snn_against_ann.py [report.html]
"""

import sys
from pathlib import Path

import truejoule as tj
from truejoule import zoo
from truejoule.report import page
from truejoule.report.numbers import verdicts
from truejoule.units import format_si

if __name__ == "__main__":
    array = tj.accelerator("sata")
    data = list(zoo.loader(batch_size=50, n=1000))
    snn = tj.evaluate(zoo.load("fashion_snn"), array, data, name="SNN, T = 4")
    anns = [
        tj.evaluate(zoo.load(name), array.ann_twin(bits), data, name=f"ANN, {bits} bit")
        for name, bits in (("fashion_ann", 8), ("fashion_ann_4bit", 4))
    ]
    for e in (snn, *anns):
        print(
            f"{e.network} on {e.title}: {e.accuracy}, {format_si(e.cost.energy_j, 'J')}, {format_si(e.cost.latency_s, 's')}"
        )
    assert snn.over_time is not None
    line = snn.over_time.line
    print(f"E(T) = {format_si(line.e0_j, 'J')} + {format_si(line.e1_j, 'J')} x T")
    for against in snn.over_time.against_ann:
        print(f"{against.bits}-bit ANN, half zeros (assumed): {against.describe()}")
    everything = [e.to_json() for e in (snn, *anns)]
    for verdict in verdicts(everything)[:2]:
        print(f"Trained: {verdict}")
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "snn_against_ann.html")
    path.write_text(page(everything, title="SNN against ANN"), encoding="utf-8")
    print(path)
