"""The picture of an efficiency curve: what fraction of injected events a search finds, against their size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from skyvault.science.injection import Efficiency
from skyvault.science.samples import Floats

_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#222222")


def plot_efficiency(
    curves: Efficiency | Mapping[str, Efficiency], *, expected: tuple[Floats, Floats] | None = None, ax: Any = None
) -> Any:
    """Axes with the fraction found and its one-sigma interval in each bin; a mapping draws several with their names.

    ``expected``: amplitudes and fractions, shape (n,) both, of a line to compare with.
    """
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(6.4, 4.0), layout="constrained").add_subplot()
    named = {"": curves} if isinstance(curves, Efficiency) else dict(curves)
    if expected is not None:
        ax.plot(*expected, color="#999999", linewidth=1.5, label="expected", zorder=1)
    for number, (name, curve) in enumerate(named.items()):
        used = curve.injected > 0
        centre = np.sqrt(curve.edges[1:] * curve.edges[:-1])[used]
        fraction, low, high = curve.fraction[used], curve.low[used], curve.high[used]
        text = f"{name} ({int(curve.injected.sum()):,} injected)".strip()
        ax.errorbar(
            centre, fraction, [np.maximum(fraction - low, 0.0), np.maximum(high - fraction, 0.0)], fmt="o",
            color=_COLORS[number % len(_COLORS)], markersize=4, elinewidth=1.0, label=text, zorder=2 + number,
        )  # fmt: skip
    ax.set_xscale("log")
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("amplitude (relative change of flux)")
    ax.set_ylabel("fraction found")
    ax.grid(alpha=0.3, linewidth=0.5)
    ax.legend(frameon=False, fontsize="small")
    return ax
