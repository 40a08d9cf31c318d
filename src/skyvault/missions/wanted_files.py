"""Which files of an observation are wanted, said in values: directories, patterns of names, instruments, versions.

Patterns are those of a shell (``*``, ``?``, ``[ab]``, case matters). In them and in folders may stand {oi}, the ObsID
as files bear it, and {inst}, the words files have for the chosen instruments; in folders also {version}, which is the
newest there is (or the one asked for), and {oi[0:4]}, characters of the ObsID.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

#: only for downloads with products, only for those without, or for both
When = Literal["always", "raw", "products"]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Files of one folder of an observation."""

    patterns: tuple[str, ...] = ("*",)
    #: below the observation's directory
    folder: str = ""
    when: When = "always"
    #: words for {inst}, by instrument; instruments without any are left out
    inst_words: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    #: wanted when one of these instruments is
    only_for: tuple[str, ...] = ()
    #: names that are left out although a pattern fits
    but_not: tuple[str, ...] = ()
    #: each pattern must be met, else the observation is not whole
    required: bool = False
    #: with all folders below
    deep: bool = False
    #: packed files (.gz, .Z) of these names are unpacked, others kept as they are
    unpack: tuple[str, ...] = ("*",)
    #: the file's name here, where it is another than at the archive
    rename: str | None = None
    #: instead of the observation's directory one that several share, below the archive's root and below ours
    shared_root: str | None = None

    @property
    def needs_instruments(self) -> bool:
        """Whether the choice of instruments changes what is wanted."""
        return bool(self.inst_words or self.only_for)

    def is_wanted(self, insts: Iterable[str], with_products: bool) -> bool:
        """Whether a download with these instruments, with or without products, takes files from here."""
        if self.when != "always" and (self.when == "products") != with_products:
            return False
        return not self.only_for or any(inst in self.only_for for inst in insts)

    def names(self, obs_id: str, insts: Sequence[str]) -> list[str]:
        """The patterns with ObsID and instruments filled in."""
        found: list[str] = []
        for pattern in self.patterns:
            words = [word for inst in insts for word in self.inst_words.get(inst, ())] if "{inst}" in pattern else [""]
            found += [filled(pattern, obs_id, inst=word) for word in words]
        return list(dict.fromkeys(found))

    def is_left_out(self, name: str, obs_id: str) -> bool:
        """Whether a name is one of the exceptions."""
        return any(fnmatch.fnmatchcase(name, filled(pattern, obs_id)) for pattern in self.but_not)

    def is_unpacked(self, name: str) -> bool:
        """Whether the file is packed at the archive and unpacked here."""
        return name.endswith((".gz", ".Z")) and any(fnmatch.fnmatchcase(name, one) for one in self.unpack)


@dataclass(frozen=True, slots=True)
class Bundle:
    """A tar archive that holds the files of one or several observations; ``wanted`` says which files are kept.

    ``address`` is below the archive's root, or the name of a column of the table in braces. ``is_nested``: the files
    are in a second tar archive within.
    """

    address: str
    wanted: tuple[Wanted, ...]
    is_nested: bool = False


@dataclass(frozen=True, slots=True)
class Narrowing:
    """Event lists hold all detectors in one table; a choice of fewer is a copy with the rows of those in ``column``."""

    column: str
    numbers: Mapping[str, int]

    def suffix(self, insts: Iterable[str]) -> str:
        """What the copy's name ends with, before ``.fits``; empty when nothing is left out."""
        chosen = sorted(self.numbers[inst] for inst in insts)
        return "" if len(chosen) == len(self.numbers) else "_if_" + "".join(map(str, chosen))


_CUT = re.compile(r"\{oi\[(-?\d*):(-?\d*)\]\}")


def filled(template: str, obs_id: str, **words: Any) -> str:
    """A template with the ObsID, parts of it and other words in their places."""

    def cut(match: re.Match[str]) -> str:
        begin, end = (int(word) if word else None for word in match.groups())
        return obs_id[begin:end]

    return _CUT.sub(cut, template).format(oi=obs_id, **words)


def everything(*folders: str, **how: Any) -> tuple[Wanted, ...]:
    """All files of each of these folders."""
    return tuple(Wanted(folder=folder, **how) for folder in folders)
