"""One cell of every law, for tests."""

import numpy as np

from truejoule.circuit import AlphaPower, Ekv, Ohmic, Polynomial, ReadStack, Selector, Series, Sinh, Table

MILO = Polynomial(
    (1.388e-4, 1.541e-3, 5.711e-3, 7.063e-3),
    (8.871e-5, 6.7919e-4, 1.2968e-3),
    g_low_s=5e-5,
    g_high_s=2.25e-4,
    v_max_v=0.5,
)
_V = np.linspace(0.0, 1.0, 11)
MEASURED = Table(tuple(_V), (tuple(1e-6 * np.sinh(4 * _V) / 4), tuple(1e-4 * np.sinh(2 * _V) / 2)), (1e-6, 1e-4))

LAWS = {
    "ohmic": Ohmic(),
    "sinh": Sinh(4.0),
    "steep sinh": Sinh(12.0),
    "Milo RRAM": MILO,
    "cubic": Polynomial.relative(0.0, -0.25, 1.0),
    "ohmic behind a transistor": Series(Ohmic(), 5e3),
    "sinh behind a transistor": Series(Sinh(6.0), 5e3),
    "read stack": ReadStack(0.1, 0.1),
    "alpha-power": AlphaPower(0.1, 3.0, 0.1),
    "EKV, strong": Ekv(0.3, 0.1),
    "EKV, weak": Ekv(-0.1),
    "selector": Selector(0.15, 0.02),
    "diode": Selector(0.1, 0.025, rectifying=True),
    "selector behind a transistor": Series(Selector(0.15, 0.01), 1e4),
    "measured": MEASURED,
}
ODD = [name for name in LAWS if name not in ("Milo RRAM", "diode")]
SMOOTH = [name for name in LAWS if name != "measured"]
