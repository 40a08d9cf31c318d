"""The kinds of target an X-ray observation may have had: 21 codes and what they mean."""

from __future__ import annotations

from typing import Final

#: code -> meaning; the taxonomy of the DAXA package
TARGET_TYPES: Final[dict[str, str]] = {
    "AGN": "Active galaxies and quasars",
    "BLZ": "Blazars",
    "CV": "Cataclysmic variables",
    "CAL": "Calibration observations",
    "EGS": "Extragalactic surveys",
    "GCL": "Galaxy clusters",
    "GS": "Galactic survey",
    "ASK": "All-sky survey",
    "MAG": "Magnetars and rotation-powered pulsars",
    "NGS": "Normal and starburst galaxies",
    "NS": "Neutron stars and black holes",
    "STR": "Non-degenerate stars and white dwarfs",
    "OAGN": "Obscured active galaxies and quasars",
    "SNE": "Supernovae not observed as targets of opportunity",
    "SNR": "Supernova remnants and Galactic diffuse emission",
    "SOL": "Solar System objects",
    "ULX": "Ultra-luminous X-ray sources",
    "XRB": "X-ray binaries",
    "TOO": "Targets of opportunity",
    "EGE": "Extended Galactic or extragalactic objects",
    "MISC": "Everything else",
}


def target_table(table_format: str = "fancy_grid") -> str:
    """The taxonomy as text; ``table_format`` is "plain", or any grid style's name for a ruled table."""
    width = max(map(len, TARGET_TYPES))
    rows = [f"{code:<{width}}  {meaning}" for code, meaning in TARGET_TYPES.items()]
    if table_format in ("plain", "simple", "tsv"):
        return "\n".join(rows)
    longest = max(map(len, TARGET_TYPES.values()))
    rule = f"+{'-' * (width + 2)}+{'-' * (longest + 2)}+"
    body = [f"| {code:<{width}} | {meaning:<{longest}} |" for code, meaning in TARGET_TYPES.items()]
    head = f"| {'Type':<{width}} | {'Meaning':<{longest}} |"
    return "\n".join([rule, head, rule, *body, rule])
