"""When is the spiking network really cheaper? The bundled SNN and the ANN of the same topology on the same digital array, in one report.

python examples/snn_against_ann.py [report.html]
"""

import sys
from pathlib import Path

import truejoule as tj
from truejoule import zoo
from truejoule.accelerators.sata.over_time import ratio_band
from truejoule.report import page
from truejoule.units import format_si

if __name__ == "__main__":
    array = tj.accelerator("sata")
    data = list(zoo.loader(batch_size=50, n=1000))
    snn = tj.evaluate(zoo.load("fashion_snn"), array, data, name="SNN, T = 4")
    ann = tj.evaluate(zoo.load("fashion_ann"), array.ann_twin(8), data, name="ANN, 8-bit activations")
    for e in (snn, ann):
        print(f"{e.network}: {e.accuracy}, {format_si(e.cost.energy_j, 'J')}, {format_si(e.cost.latency_s, 's')}")
    low, high = ratio_band(snn.cost.ledger, ann.cost.ledger)
    ratio = snn.cost.energy_j / ann.cost.energy_j
    verdict = "undecided" if low < 1 < high else "the ANN" if ratio > 1 else "the SNN"
    costly = max(snn.cost.ledger.by("component").items(), key=lambda item: item[1])[0]
    print(
        f"SNN over ANN: {ratio:.2f} ({low:.2f} to {high:.2f} every coefficient inside its band, shared ones together): {verdict}; the SNN spends most on its {costly}."
    )
    path = Path(sys.argv[1] if len(sys.argv) > 1 else "snn_against_ann.html")
    path.write_text(page([snn.to_json(), ann.to_json()], title="SNN against ANN"), encoding="utf-8")
    print(path)
