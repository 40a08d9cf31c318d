"""The Harvard plate series: telescope kind, scale and aperture of each, from DASCH's own table of data release 7."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

Kind = Literal["narrow", "patrol", "meteor"]


@dataclass(frozen=True, slots=True)
class Series:
    """One plate series. Scale in arcseconds per millimetre and aperture in metres; None where nobody knows."""

    name: str
    kind: Kind
    scale_arcsec_mm: float | None
    aperture_m: float | None
    telescope: str


#: name|kind|arcsec/mm|aperture m|telescope
_TEXT: Final = """\
a|narrow|60|0.6|24-inch Bruce Doublet
ab|patrol|590|0.0635|2.5-inch Ross Portrait Lens
ac|patrol|606.4|0.038|1.5-inch Cooke Lenses
aco|patrol|611.3|0.0254|1 in Cook Lens #832 Series renamed from ac-a
ad|meteor|||Various Meteor Cameras
adh|narrow|68|0.76|32-36 inch BakerSchmidt 10 1/2 inch round Armagh-Dunsink-Harvard
ai|meteor|1360|0.038|Meteor Patrol cameras
ak|patrol|614.5|0.038|1.5 in Cooke "Long Focus"
al|meteor|1200|0.038|Cooke Short Focus
am|patrol|610.8|0.038|1-inch, 1.5-inch Cooke Lenses
an|patrol|574||New Cooke Lens
ax|patrol|695.7|0.076|3 inch Ross-Tessar Lens
ay|patrol|694.2|0.066|2.6-inch Zeiss-Tessar
ayroe|narrow||0.152|Roe 6-inch
b|narrow|179.4|0.2|8-inch Bache Doublet, Voigtlander, reworked by Clark
bc|narrow||0.406|16-inch Boller & Chivens
bi|meteor|1446|0.038|1.5 inch Ross (short focus)
bm|narrow|384|0.075|3-inch Ross
bo|patrol|800|0.0635|2.5 inch Voigtlander (Little Bache or "Bachito")
br|narrow|204|0.2|8-inch Brashear Lens
c|narrow|52.56|0.3|11-inch Draper Refractor
ca|patrol|596|0.0635|2.5 inch Cooke Lens
ctio|narrow|18|4|Cerro Tololo 4 meter
darnor|meteor|890||Darlot Lens North
darsou|meteor|890||Darlot Lens South
dnb|patrol|577.3|0.042|Damons North Blue
dnr|patrol|579.7|0.042|Damons North Red
dny|patrol|576.1|0.042|Damons North Yellow
dsb|patrol|574.5|0.042|Damons South Blue
dsr|patrol|579.7|0.042|Damons South Red
dsy|patrol|581.8|0.042|Damons South Yellow
ee|narrow|330|0.102|4-inch Voightlander Lens
er|narrow|390|0.076|3-inch Elmer Ross
fa|meteor|1298|0.038|1.5-inch Ross-Xpress
h|narrow|59.6|0.6|24-inch Clark Reflector
hale|narrow|11.06|5|200 inch Hale Telescope
i|narrow|163.3|0.2|8-inch Draper Doublet, Voigtlander Reworked by Clark
ir|narrow|164|0.2|8-inch Ross Lundin
j|narrow|98|0.6|24-33 in Jewett Schmidt
jdar|patrol|560|0.076|3-inch Darlot (Series renamed from j)
ka|meteor|1200|0.071|2.8-inch Kodak Aero-Ektar
kb|meteor|1200|0.071|2.8-inch Kodak Aero-Ektar
kc|patrol|650|0.127|K-19 Air Force Camera
kd|patrol|650|0.127|Air Force Camera
ke|meteor|1160|0.071|Eastman Aero-Ektar K-24 Lens on a K-19 Barrel
kf|meteor|1160|0.071|Eastman Aero-Ektar K-24 Lens on a K-19 Barrel
kg|meteor|1160|0.071|Eastman Aero-Ektar K-24 Lens on a K-19 Barrel Formerly KE (1951)
kge|meteor|1160|0.071|Eastman Aero-Ektar K-24 Lens on a K-19 Barrel Formerly KG (1950)
kh|meteor|1160|0.071|KE Camera with Installed Rough Focus
lwla|narrow|36.687|1.01|Lowell 40 inch reflector
m|narrow||0.127|5-in Voightlander Transit Photometer
ma|narrow|93.7|0.3|12-inch Metcalf Doublet
mb|narrow|390|0.1|4-inch Cooke (1-327), 6-inch (328-1776) 3-inch Ross Lundin (2388-2722)
mc|narrow|97.9|0.4|16-inch Metcalf Doublet (Refigured after 3500)
md|narrow|193|0.1|4-inch Cooke Lens
me|patrol|600|0.038|1.5-inch Cooke Lenses
meteor|meteor|1200|0.3|Various meteor cameras
mf|narrow|167.3|0.25|10-inch Metcalf Triplet
na|narrow|100|0.191|7.5-inch Cooke/Clark Refractor at Maria Mitchell Observatory
pas|narrow|95.64|0.67|Asiago Observatory 92/67 cm Schmidt
poss|narrow|67.19|1.219|Palomar Sky Survey (POSS)
pz|meteor|1553|0.076|3 inch Perkin-Zeiss Lens
r|narrow|390|0.075|3-inch Ross Fecker
rb|narrow|395.5|0.075|3-inch Ross Fecker
rh|narrow|391.3|0.075|3-inch Ross Fecker
rl|narrow|290|0.1|4-inch Ross Lundin
ro|narrow|390|0.075|Unknown Oak Ridge setup! Aperture is a guess.
s|narrow|26.3|1.52|60 inch Common
sb|narrow|26|1.5|60-inch Rockefeller Reflector
sh|narrow|26|1.5|61-inch Wyeth Reflector
x|narrow|42.3|0.33|13-inch Boyden Refractor
y|narrow||0.203|8-inch Clark Doublet
yb|narrow|55|0.508|YSO Double Astrograph
"""


def _read(line: str) -> Series:
    name, kind, scale, aperture, telescope = line.split("|")
    return Series(name, kind, float(scale) if scale else None, float(aperture) if aperture else None, telescope)  # type: ignore[arg-type]


#: name -> series, in the order of names
SERIES: Final = {series.name: series for series in map(_read, _TEXT.splitlines())}

#: plates are 8 by 10 inches, those of series "a" 14 by 17
_HALF_SIDE_MM: Final = 127.0
_HALF_SIDE_OF_A_MM: Final = 215.9
#: for series whose scale nobody knows: that of a patrol camera
_UNKNOWN_SCALE: Final = 600.0


def half_side_deg(series: str) -> float:
    """Half of a plate's longest side on the sky, in degrees, at most 60."""
    known = SERIES.get(series)
    scale = (known.scale_arcsec_mm if known else None) or _UNKNOWN_SCALE
    return min(60.0, scale * (_HALF_SIDE_OF_A_MM if series == "a" else _HALF_SIDE_MM) / 3600.0)
