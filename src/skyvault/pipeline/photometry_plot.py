"""Pictures of photometry: magnitudes or fluxes against time, a colour a filter, doubtful epochs pale."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np

from skyvault.pipeline.faults import ParameterValueError
from skyvault.pipeline.table_rows import Rows

#: filters and their colours, blue to red (Okabe & Ito 2008, which colour-blind eyes tell apart)
_COLORS: Final = {"u": "#cc79a7", "g": "#009e73", "r": "#d55e00", "i": "#8b1a1a", "z": "#222222", "b": "#0072b2"}
_OTHERS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#222222", "#e69f00")
_TIMES: Final = ("mjd", "times")
_VALUES: Final = ("mag", "flux")


def plot_photometry(
    parts: Iterable[tuple[str, Rows, Any]], *, ftype: str = "mag", ttype: str = "mjd", title: str = "", ax: Any = None
) -> Any:
    """Axes with one series a part: (label, rows with mjd, mag or flux and their errors, mask of doubtful rows or None).

    ``ftype`` is mag (running downwards) or flux; ``ttype`` mjd, or times for dates. Raises ParameterValueError.
    """
    if ftype not in _VALUES or ttype not in _TIMES:
        raise ParameterValueError(
            f"ftype is {' or '.join(_VALUES)}, ttype {' or '.join(_TIMES)}: not {ftype!r}, {ttype!r}"
        )
    if ax is None:
        from matplotlib.figure import Figure

        ax = Figure(figsize=(8.0, 4.2), layout="constrained").add_subplot()
    seen: dict[str, str] = {}
    for label, rows, doubtful in parts:
        names = rows.dtype.names or ()
        if ftype not in names or not len(rows):
            continue
        band = label.rpartition(" ")[2]
        color = seen.get(label) or _COLORS.get(band[-1:].lower()) or _OTHERS[len(seen) % len(_OTHERS)]
        times = np.asarray(rows["mjd"], np.float64)
        if ttype == "times":
            from matplotlib.dates import num2date

            # MJD 40587 is 1970-01-01, where matplotlib counts from
            times = num2date(times - 40587.0)
        bad = np.zeros(len(rows), np.bool_) if doubtful is None else np.asarray(doubtful, np.bool_)
        error = np.asarray(rows[f"{ftype}err"], np.float64) if f"{ftype}err" in names else None
        for chosen, alpha, text in ((~bad, 1.0, None if label in seen else label), (bad, 0.25, None)):
            if chosen.any():
                ax.errorbar(
                    np.asarray(times)[chosen], rows[ftype][chosen], None if error is None else error[chosen],
                    fmt=".", markersize=4, color=color, ecolor=color, elinewidth=0.5, alpha=alpha, label=text,
                )  # fmt: skip
        seen.setdefault(label, color)
    ax.set_xlabel("MJD" if ttype == "mjd" else "date")
    ax.set_ylabel("magnitude" if ftype == "mag" else "flux (µJy)")
    if ftype == "mag" and seen and not ax.yaxis_inverted():
        ax.invert_yaxis()
    ax.set_title(title)
    if any(label for label in seen):
        ax.legend(frameon=False, fontsize="small")
    return ax
