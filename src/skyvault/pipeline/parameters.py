"""Parameters of the pipeline's parts: each has a type, a default and a description; none can be set by a misspelling.

Names may be abbreviated and have aliases. Values come, later ones winning, from the defaults, the project's YAML file,
the constructor's arguments, and attributes set afterwards.
"""

from __future__ import annotations

import copy as copying
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from skyvault.pipeline.faults import ParameterNameError, ParameterTypeError, ParameterValueError
from skyvault.pipeline.names import legal_name
from skyvault.pipeline.parameter_files import read_parameters, write_parameters
from skyvault.pipeline.parameter_values import data_types_of, number_of, without_secrets

#: shared by the parts of a project, handed down unless a part is given its own
PROPAGATED: Final = ("project", "cfg_file", "data_types", "verbose")
#: instructions to the machinery, which are no parameters
_DIRECTIVES: Final = ("cfg_key", "cfg_sub_key")


@dataclass(frozen=True, slots=True)
class Parameter:
    """What is known about one parameter. A critical one changes results; a secret one is never written down."""

    name: str
    default: Any
    types: tuple[type, ...]
    description: str
    is_critical: bool
    is_secret: bool

    @property
    def type_names(self) -> str:
        return " or ".join("None" if one is type(None) else one.__name__ for one in self.types)


class _Finishing(type):
    """Gives values from file and arguments once a class and all its subclasses have declared their parameters."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made._finish(kwargs)
        return made


class Parameters(metaclass=_Finishing):
    """The parameters of one part of the pipeline.

    A subclass declares its own in ``__init__`` with :meth:`add_par`, after ``super().__init__(**kwargs)``. A name that
    fits no parameter raises ParameterNameError (an AttributeError) with the nearest one; a value of the wrong type
    ParameterTypeError (a TypeError). ``_``-names are switches of the matching itself.
    """

    #: the key of this part in the project's YAML file
    default_cfg_key: ClassVar[str | None] = None

    def __init__(self, **kwargs: Any) -> None:
        self.__dict__["_registered"] = {}
        self.__dict__["_aliases"] = {}
        self.__dict__["_unclaimed"] = {}
        self.__dict__["_is_lenient"] = bool(kwargs.get("_is_lenient"))
        self._enforce_type_checks = True
        self._enforce_no_new_attrs = False
        self._allow_shorthands = True
        self._ignore_case = True
        self._remove_underscores = False
        self._cfg_key = kwargs.get("cfg_key") or type(self).default_cfg_key
        self._cfg_sub_key = kwargs.get("cfg_sub_key")
        self.add_par("project", None, (None, str), "name of the project; made legal: upper case, no blanks")
        self.add_par(
            "cfg_file", None, (None, str, bool, Path),
            "YAML file with parameters; None looks for configs/<project>.yaml, False never looks", critical=False,
        )  # fmt: skip
        self.add_par("data_types", ["photometry"], (str, list, tuple, set), "kinds of data to work on")
        self.add_par("verbose", 0, int, "how much to tell: 0 only results", critical=False)

    # --- declaring ---------------------------------------------------------------------------------------------

    def add_par(
        self, name: str, default: Any, par_types: Any, docstring: str = "", critical: bool = True, secret: bool = False
    ) -> Any:
        """Declare a parameter; returns its default. ``par_types`` is a type or several; None allows None.

        ``critical`` is False for what does not change results (verbosity, batch sizes); ``secret`` for passwords.
        """
        if name in self._registered:
            raise ParameterValueError(f"the parameter {name!r} is declared twice", where=type(self).__name__)
        types = par_types if isinstance(par_types, tuple | list | set) else (par_types,)
        plain = tuple(type(None) if one is None else one for one in types)
        if default is None and type(None) not in plain:
            plain = (*plain, type(None))
        self._registered[name] = Parameter(name, default, plain, docstring, critical and not secret, secret)
        value = copying.deepcopy(default)
        self.__dict__[name] = value
        return value

    def add_alias(self, alias: str, name: str) -> None:
        """Another name for a parameter, matched by the same rules."""
        self._aliases[alias] = name

    # --- matching names ----------------------------------------------------------------------------------------

    def _plain(self, name: str) -> str:
        name = name.lower() if self._ignore_case else name
        return name.replace("_", "") if self._remove_underscores else name

    def _resolve(self, name: str) -> str | None:
        """The parameter meant, or None. Raises ParameterNameError when it could be several."""
        if name in self._registered:
            return name
        if name in self._aliases:
            return str(self._aliases[name])
        asked = self._plain(name)
        known: dict[str, str] = {key: key for key in self._registered} | self._aliases
        exact = {target for key, target in known.items() if self._plain(key) == asked}
        if len(exact) == 1:
            return exact.pop()
        if not asked or not self._allow_shorthands:
            return None
        found = {target for key, target in known.items() if self._plain(key).startswith(asked)}
        if len(found) > 1:
            raise ParameterNameError(
                f"{name!r} could be {', '.join(sorted(found))}", where=type(self).__name__, hint="Write more of it."
            )
        return found.pop() if found else None

    def _unknown(self, name: str) -> ParameterNameError:
        close = difflib.get_close_matches(name, [*self._registered, *self._aliases], n=1, cutoff=0.5)
        hint = f"Did you mean {close[0]}?" if close else f"There are {', '.join(self.names())}."
        return ParameterNameError(f"{type(self).__name__!r} object has no attribute {name!r}", hint=hint)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        target = self._resolve(name)
        if target is None:
            raise self._unknown(name)
        return self.__dict__[target]

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
            return
        target = self._resolve(name)
        if target is None:
            if self._enforce_no_new_attrs:
                raise self._unknown(name)
            object.__setattr__(self, name, value)
            return
        parameter = self._registered[target]
        value = self.checked(target, value)
        if self._enforce_type_checks and not self._is_of(parameter, value):
            raise ParameterTypeError(
                f"the parameter {target!r} must be of type {parameter.type_names}, not {type(value).__name__}",
                where=type(self).__name__,
            )
        object.__setattr__(self, target, value)

    @staticmethod
    def _is_of(parameter: Parameter, value: Any) -> bool:
        if isinstance(value, parameter.types):
            return True
        return float in parameter.types and isinstance(value, int)

    def checked(self, name: str, value: Any) -> Any:
        """The value to keep for what was given; a subclass may refuse or rewrite it. ``name`` is the full name."""
        if name == "project" and isinstance(value, str):
            return legal_name(value)
        if name == "data_types" and isinstance(value, str | list | tuple | set):
            return data_types_of(value)
        return value

    def __getitem__(self, name: str) -> Any:
        return getattr(self, name)

    def __setitem__(self, name: str, value: Any) -> None:
        setattr(self, name, value)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._resolve(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self.names())

    def names(self) -> tuple[str, ...]:
        """Full names of all parameters, in the order they were declared."""
        return tuple(self._registered)

    def parameter(self, name: str) -> Parameter:
        """What was declared about one of them."""
        target = self._resolve(name)
        if target is None:
            raise self._unknown(name)
        found: Parameter = self._registered[target]
        return found

    # --- giving values -----------------------------------------------------------------------------------------

    def _finish(self, kwargs: Mapping[str, Any]) -> None:
        given = {key: value for key, value in kwargs.items() if key not in _DIRECTIVES and not key.startswith("_")}
        self.setup_from_defaults(given)
        self.load_then_update(given)
        self._enforce_no_new_attrs = True

    def setup_from_defaults(self, given: Mapping[str, Any]) -> None:
        """Values that follow from a preset named in ``given``; below those of file and arguments."""

    def load_then_update(self, inputs: Mapping[str, Any]) -> None:
        """Values of the configuration file, then ``inputs`` over them."""
        file_name = inputs.get("cfg_file", self.cfg_file)
        project = inputs.get("project", inputs.get("name") if "name" in self._aliases else None)
        if file_name is True:
            file_name = None
        values = {} if file_name is False else read_parameters(file_name, project, self._cfg_key, self._cfg_sub_key)
        self._take(self.from_file(values), is_from_file=True)
        self._take(inputs)

    def from_file(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        """What the file says to this part, before it is taken; a subclass may pick what concerns it."""
        return values

    def _take(self, values: Mapping[str, Any], *, is_from_file: bool = False) -> None:
        lock, self._enforce_no_new_attrs = self._enforce_no_new_attrs, True
        try:
            for name, value in values.items():
                if self._is_lenient and self._resolve(name) is None:
                    self._unclaimed[name] = value
                    continue
                if is_from_file and isinstance(value, str):
                    value = number_of(value, self.parameter(name).types)
                setattr(self, name, value)
        finally:
            self._enforce_no_new_attrs = lock

    def load(self, filename: str | Path, key: str | None = None, raise_if_missing: bool = True) -> dict[str, Any]:
        """The values a YAML file holds under ``key``; they are not applied. See :meth:`read`."""
        return read_parameters(filename if raise_if_missing else None, None if raise_if_missing else str(filename), key)

    def read(self, values: Mapping[str, Any]) -> None:
        """Set all of these."""
        for name, value in values.items():
            setattr(self, name, value)

    def update(self, values: Mapping[str, Any]) -> None:
        """Set all of these; sets and dicts are merged into what is there."""
        for name, value in values.items():
            target = self._resolve(name)
            now = self.__dict__.get(target) if target else None
            if isinstance(now, dict) and isinstance(value, Mapping):
                value = {**now, **value}
            elif isinstance(now, set) and isinstance(value, Iterable) and not isinstance(value, str):
                value = now | set(value)
            setattr(self, name, value)

    # --- telling -----------------------------------------------------------------------------------------------

    def to_dict(self, critical: bool = False, hidden: bool = False) -> dict[str, Any]:
        """Names and values, secrets never; ``critical`` leaves out what does not change results."""
        result = {
            name: without_secrets(copying.deepcopy(self.__dict__[name]))
            for name, one in self._registered.items()
            if not one.is_secret and (one.is_critical or not critical)
        }
        if hidden:
            result |= {f"_{n}": getattr(self, f"_{n}") for n in ("allow_shorthands", "ignore_case", "cfg_key")}
        return result

    def get_critical_pars(self) -> dict[str, Any]:
        """What changes results."""
        return self.to_dict(critical=True)

    def save(self, filename: str | Path) -> None:
        """Write all parameters that are no secrets as YAML."""
        write_parameters(Path(filename), self.to_dict())

    def copy(self) -> Parameters:
        return copying.deepcopy(self)

    def compare(
        self, other: Parameters, hidden: bool = False, critical: bool = False, ignore: Iterable[str] | None = None,
        verbose: bool = False,
    ) -> bool:  # fmt: skip
        """Whether both have the same values."""
        left, right = self.to_dict(critical, hidden), other.to_dict(critical, hidden)
        for name in ignore or ():
            left.pop(name, None)
            right.pop(name, None)
        differing = [name for name in {*left, *right} if left.get(name) != right.get(name)]
        if verbose:
            for name in sorted(differing):
                print(f"{name}: {left.get(name)!r} against {right.get(name)!r}")
        return not differing

    def add_defaults_to_dict(self, values: dict[str, Any]) -> None:
        """Put what all parts share into the arguments of another part, unless they are there."""
        for name in PROPAGATED:
            values.setdefault(name, copying.deepcopy(self.__dict__[name]))

    def vprint(self, text: str, threshold: int = 1) -> None:
        """Print when ``verbose`` is at least ``threshold``."""
        if self.verbose >= threshold:
            print(text)

    def show_pars(self, owner_pars: Parameters | None = None) -> None:
        """Print a table of values, defaults, types and meanings."""
        print(self.described(owner_pars))

    def described(self, owner_pars: Parameters | None = None) -> str:
        """The table :meth:`show_pars` prints; what is as the owner has it is only named."""
        lines, shared = [], []
        for name, one in self._registered.items():
            value = self.__dict__[name]
            if owner_pars is not None and name in PROPAGATED and owner_pars.__dict__.get(name) == value:
                shared.append(name)
                continue
            shown = "**********" if one.is_secret and value else repr(without_secrets(value))
            mark = "" if one.is_critical else ", does not change results"
            lines.append(f"  {name} = {shown} ({one.type_names}; default {one.default!r}{mark}): {one.description}")
        if shared:
            lines.append(f"  as their owner: {', '.join(shared)}")
        return "\n".join(lines)

    @classmethod
    def get_default_cfg_key(cls) -> str | None:
        """The key of this part in the project's YAML file."""
        return cls.default_cfg_key

    _get_default_cfg_key = get_default_cfg_key

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.__dict__.get('project')}: {len(self._registered)} parameters>"

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameters:
        made = type(self).__new__(type(self))
        made.__dict__.update({key: copying.deepcopy(value, memo) for key, value in self.__dict__.items()})
        return made
