"""Which TAP service a short name means, and the token kept for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from skyvault.config import Secret
from skyvault.errors import NotFound

if TYPE_CHECKING:
    from skyvault.config import Settings

#: archive -> the public address of its TAP service
ARCHIVES: Final = {
    "rubin": "https://data.lsst.cloud/api/tap",
    "heasarc": "https://heasarc.gsfc.nasa.gov/xamin/vo/tap",
    "xsa": "https://nxsa.esac.esa.int/tap-server/tap",
    "registry": "https://reg.g-vo.org/tap",
    "gaia": "https://gea.esac.esa.int/tap-server/tap",
    "simbad": "https://simbad.cds.unistra.fr/simbad/sim-tap",
    "vizier": "https://tapvizier.cds.unistra.fr/TAPVizieR/tap",
    "gavo": "https://dc.g-vo.org/tap",
    "mast": "https://mast.stsci.edu/vo-tap/api/v0.1/caom",
    "irsa": "https://irsa.ipac.caltech.edu/TAP",
}
#: the name the Rubin Science Platform's notebooks use
ALIASES: Final = {"tap": "rubin"}


def address_of(name_or_url: str, settings: Settings) -> str:
    """The address of a TAP service by its short name, or the address itself. Raises NotFound."""
    text = name_or_url.strip()
    if "://" in text:
        return text.rstrip("/")
    name = text.lower()
    if name in settings.services:
        return settings.services[name]
    archive = ALIASES.get(name, name)
    if archive in ARCHIVES or "tap" in settings.endpoints.get(archive, {}):
        return settings.endpoint(archive, "tap", ARCHIVES.get(archive, ""))
    known = sorted({*settings.services, *ALIASES, *ARCHIVES})
    raise NotFound(
        f"there is no TAP service named {name_or_url[:80]!r}",
        hint=f"Known are {', '.join(known)}; or give its address, or set SKYVAULT_SERVICES__{name.upper()[:40]}=URL.",
    )


def token_for(url: str, settings: Settings) -> Secret | None:
    """The token kept for the service's host in the credentials file (a setting), if any."""
    path = settings.credentials_file
    if path is None:
        return None
    from skyvault.net.auth import Credentials

    header = Credentials.from_file(path).header_for(url)
    return Secret(header.removeprefix("Bearer ")) if header is not None and header.startswith("Bearer ") else None
