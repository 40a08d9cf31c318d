"""The VO's XML schemas, as STILTS carries them: nothing is fetched."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

_JARS = ("/usr/share/java/starlink-ttools.jar", "/usr/share/java/stilts.jar", "/usr/local/share/java/stilts.jar")

#: namespace -> the newest schema of it
_LOCAL = {
    "http://www.w3.org/XML/1998/namespace": "xmlnamespace.xsd",
    "http://www.w3.org/1999/xlink": "xlink.xsd",
    "http://www.ivoa.net/xml/STC/stc-v1.30.xsd": "stc-v1.30.xsd",
    "http://www.ivoa.net/xml/UWS/v1.0": "UWS-v1.1.xsd",
    "http://www.ivoa.net/xml/VOResource/v1.0": "VOResource-v1.1.xsd",
    "http://www.ivoa.net/xml/VODataService/v1.1": "VODataService-v1.2.xsd",
    "http://www.ivoa.net/xml/VODataService/v1.0": "VODataService-v1.0.xsd",
    "http://www.ivoa.net/xml/VOSITables/v1.0": "VOSITables-v1.1.xsd",
    "http://www.ivoa.net/xml/VOSICapabilities/v1.0": "VOSICapabilities-v1.0.xsd",
    "http://www.ivoa.net/xml/VOSIAvailability/v1.0": "VOSIAvailability-v1.0.xsd",
    "http://www.ivoa.net/xml/TAPRegExt/v1.0": "TAPRegExt-v1.0-Erratum1.xsd",
}


@pytest.fixture(scope="session")
def stilts_xsds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schemas of UWS, VOSI, VODataService, VOResource and TAPRegExt; each imports the others."""
    from lxml import etree

    jar = next((Path(path) for path in _JARS if Path(path).exists()), None)
    if jar is None:
        pytest.skip("the schemas of stilts are missing: apt-get install stilts")
    folder = tmp_path_factory.mktemp("xsd")
    with zipfile.ZipFile(jar) as archive:
        for name in archive.namelist():
            if name.endswith(".xsd"):
                tree = etree.fromstring(archive.read(name), etree.XMLParser(load_dtd=False, resolve_entities=False))
                for imported in tree.iter("{http://www.w3.org/2001/XMLSchema}import"):
                    imported.set("schemaLocation", _LOCAL[imported.get("namespace")])
                (folder / Path(name).name).write_bytes(etree.tostring(tree))
    return folder


@pytest.fixture(scope="session")
def validate(stilts_xsds: Path) -> Callable[[bytes], None]:
    """Asserts that a document of any of these namespaces is valid."""
    from lxml import etree

    imports = "".join(
        f'<xs:import namespace="{namespace}" schemaLocation="{name}"/>'
        for namespace, name in _LOCAL.items()
        if "ivoa" in namespace and "VODataService/v1.0" not in namespace
    )
    everything = f'<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema">{imports}</xs:schema>'
    schema = etree.XMLSchema(etree.fromstring(everything, base_url=str(stilts_xsds / "everything.xsd")))
    return lambda document: schema.assertValid(etree.fromstring(document))
