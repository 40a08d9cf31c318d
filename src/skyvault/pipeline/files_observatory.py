"""Light curves you have already: one file a source in a folder, in any table format, as an observatory of a project."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Final

from skyvault.pipeline.faults import DataError, ParameterValueError
from skyvault.pipeline.observatory import Observatory, ParsObservatory

#: format of times -> days to add to become an MJD
_TO_MJD: Final = {"mjd": 0.0, "jd": -2400000.5, "btjd": 56999.5, "bkjd": 54832.5}


class ParsObsFiles(ParsObservatory):
    """Where the files are, and what is in them."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.add_par("files_folder", ".", (str, Path), "folder with the files", critical=False)
        self.add_par("files_pattern", "{name}.csv", str, "name of a source's file, with {name} or {alias} in it")
        self.add_par("columns", {}, dict, "time, mag, magerr, flux, fluxerr, filter, flag, exptime ... -> column")
        self.add_par("time_format", None, (None, str), f"format of the times: {', '.join(_TO_MJD)}; by their name else")
        self.add_par("exposure_s", None, (None, float), "exposure time where no column says it, seconds")
        self.download_pars_list = ["files_pattern", "columns", "time_format", "exposure_s"]

    def checked(self, name: str, value: Any) -> Any:
        if name == "time_format" and value is not None and value not in _TO_MJD:
            raise ParameterValueError(f"there is no time format {value!r}", hint=f"There are {', '.join(_TO_MJD)}.")
        if name == "files_pattern" and isinstance(value, str) and "{name}" not in value and "{alias}" not in value:
            raise ParameterValueError(f"{value!r} would be one file for all sources", hint="Put {name} into it.")
        return super().checked(name, value)


class VirtualFiles(Observatory):
    """A folder of light curves: FITS, CSV, ECSV, VOTable or Parquet; the columns are recognised by their names.

    A source without a file has no data, which is an answer. Give ``obs_name`` to call it what it is.
    """

    pars_class = ParsObsFiles
    pars: ParsObsFiles
    obs_name: ClassVar[str] = "FILES"

    def download_from_observatory(self, cat_row: Mapping[str, Any], **kwargs: Any) -> tuple[Any, dict[str, Any]]:
        pars = self.pars
        folder = Path(pars.files_folder).expanduser().resolve()
        if not folder.is_dir():
            raise DataError("there is no such folder of light curves", where=str(pars.files_folder))
        name = pars.files_pattern.replace("{name}", str(cat_row["name"])).replace("{alias}", str(cat_row.get("alias")))
        path = (folder / name).resolve()
        # a catalogue's names decide where files are read: nowhere but here
        if not path.is_relative_to(folder):
            raise DataError(
                f"the file of {str(cat_row['name'])[:60]!r} would lie outside the folder", where=str(folder)
            )
        if not path.is_file():
            return {}, {"missing_file": name}
        import pyarrow as pa

        from skyvault.formats.registry import open_table

        batches = list(open_table(path).batches)
        about: dict[str, Any] = {"file": name}
        if pars.exposure_s is not None:
            about["exptime"] = float(pars.exposure_s)
        return (pa.Table.from_batches(batches) if batches else {}), about

    def columns_of(self, data: Any, altdata: Mapping[str, Any]) -> tuple[dict[str, str], dict[str, Any]]:
        form = self.pars.time_format
        return dict(self.pars.columns), {} if form is None else {"format": form, "offset": _TO_MJD[form]}
