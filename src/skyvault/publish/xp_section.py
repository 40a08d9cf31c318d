"""What a resource.yaml says of Gaia XP spectra: which files, at which wavelengths, from how many realisations."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class XpGrid(BaseModel):
    """Wavelengths in nm, both ends with it."""

    model_config = ConfigDict(extra="forbid")

    start: Annotated[float, Field(ge=330, le=1050, description="Shortest wavelength, nm")] = 400.0
    stop: Annotated[float, Field(ge=330, le=1050, description="Longest wavelength, nm")] = 800.0
    step: Annotated[float, Field(ge=0.05, le=720, description="From one to the next, nm")] = 10.0

    @model_validator(mode="after")
    def _ascends(self) -> XpGrid:
        if self.stop < self.start:
            raise ValueError("stop is before start")
        return self


class XpSection(BaseModel):
    """Gaia XP spectra in their continuous representation: they are sampled, and become a table of vectors.

    Beside the table there is one with a row of ObsCore for each spectrum (its name ends in ``_obs``), which SSA and
    ivoa.ObsCore find; the spectra are made when somebody asks for them.
    """

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    files: Annotated[
        str | list[str],
        Field(description="Files of xp_continuous_mean_spectrum: CSV, ECSV, FITS, VOTable or Parquet, packed or not"),
    ]
    ignore: Annotated[str | list[str], Field(description="Patterns of files that are left out")] = []
    positions: Annotated[
        str | None,
        Field(description="A table with source_id, ra and dec (Gaia's catalogue); without it, places by source_id"),
    ] = None
    grid: Annotated[XpGrid, Field(description="Wavelengths that are sampled")] = XpGrid()
    realisations: Annotated[
        int, Field(ge=0, le=10_000, description="Drawn from the covariance; 0: flux and error of the coefficients")
    ] = 10
    instrument: Annotated[
        str | None, Field(description="A folder with another instrument than Gaia DR3's, as GaiaXPy has them")
    ] = None
    release: Annotated[str, Field(description="Before the number in names of sources")] = "Gaia DR3"
    title: Annotated[str | None, Field(description="Of the table; else the resource's")] = None
    description: Annotated[str | None, Field(description="Of the table; else the resource's")] = None
    obscore: Annotated[bool, Field(description="Whether the spectra join ivoa.ObsCore, and so SSA")] = True
    links: Annotated[
        Literal["open", "signed"], Field(description="signed: spectra are given out by addresses that expire")
    ] = "open"
    link_lifetime_s: Annotated[int, Field(gt=0, le=31_536_000, description="Of signed addresses, seconds")] = 3600

    @model_validator(mode="after")
    def _some_error(self) -> XpSection:
        if self.realisations == 1:
            raise ValueError("one realisation has no standard deviation: take 2 or more, or 0 for none")
        return self
