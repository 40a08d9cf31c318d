"""Images, cutouts and spectra as an archive gave them, one data set a source, observatory and kind.

Of images and cutouts the rows tell what each file is; the FITS files themselves lie beside, in a folder of the same
name. Spectra lie in the rows, one after the other.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from skyvault.pipeline.faults import DataError
from skyvault.pipeline.raw_photometry import RawRows
from skyvault.pipeline.tables import Base, source_raw_data

if TYPE_CHECKING:
    from skyvault.pipeline.source import Source


class RawData(RawRows, Base):
    """Raw data that are no photometry; see :class:`RawImages`, :class:`RawCutouts` and :class:`RawSpectra`."""

    __tablename__ = "raw_data"
    __table_args__ = (sa.UniqueConstraint("source_name", "observatory", "kind"),)
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_on": "kind", "polymorphic_abstract": True}  # type: ignore[misc]

    kind: Mapped[str] = mapped_column(index=True)
    sources: Mapped[list[Source]] = relationship(secondary=source_raw_data, back_populates="raw_data")

    @property
    def files_folder(self) -> Path:
        """Where the files lie that the rows tell of: beside the data set, with its name."""
        return self.get_fullname().with_suffix("")

    def delete_data_from_disk(self) -> None:
        """Remove the data set and the files it tells of."""
        if self.filename:
            shutil.rmtree(self.files_folder, ignore_errors=True)
        super().delete_data_from_disk()


class RawImages(RawData):
    """Images that show a source. Columns: ``file``, ``mjd`` (start of the exposure), ``exptime`` (s), ``filter``,
    ``zero_point`` (magnitude of one count; NaN unknown), ``obs_id``; more as the observatory has it."""

    data_type = "images"
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "images"}  # type: ignore[misc]

    def paths(self) -> list[Path]:
        """The files, in the order of the rows. Raises DataError for a row that leads elsewhere."""
        folder = self.files_folder
        names = [one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one) for one in self.data["file"]]
        for name in names:
            if not name or Path(name).name != name or name.startswith("."):
                raise DataError(f"{name[:60]!r} is no name of an image's file", where=str(self.get_fullname()))
        return [folder / name for name in names]

    def check_data_exists(self) -> bool:
        """Whether the rows can be read and all files are there."""
        return super().check_data_exists() and all(path.is_file() for path in self.paths())


class RawCutouts(RawImages):
    """Small parts of images around a source; as :class:`RawImages`."""

    data_type = "cutouts"
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "cutouts"}  # type: ignore[misc]


class RawSpectra(RawData):
    """Spectra of a source. Columns: ``spectrum`` (number from 0), ``wavelength``, ``flux``, ``fluxerr``, ``flag``.

    ``altdata["spectra"]`` has an entry a spectrum: ``mjd``, ``exptime`` (s), ``wavelength_unit``, ``medium`` ("vacuum",
    "air" or None), ``flux_unit``, ``resolution``, ``file`` or ``url``.
    """

    data_type = "spectra"
    __mapper_args__: ClassVar[dict[str, Any]] = {"polymorphic_identity": "spectra"}  # type: ignore[misc]


#: kind of data -> class of what an archive gave
KINDS: Final[dict[str, type[RawData]]] = {"images": RawImages, "cutouts": RawCutouts, "spectra": RawSpectra}
