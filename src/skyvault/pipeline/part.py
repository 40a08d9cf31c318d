"""What all parts of a pipeline have in common: parameters, and help about them."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from skyvault.pipeline.parameters import Parameters


class _Checking(type):
    """Lets a subclass put parameters of its own in place of its parent's, and refuses what neither knows."""

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        unclaimed = getattr(made.pars, "_unclaimed", None)
        if unclaimed:
            raise made.pars._unknown(next(iter(unclaimed)))
        return made


class Part(metaclass=_Checking):
    """A part of a pipeline with parameters ``pars`` of class ``pars_class``.

    A subclass with more parameters sets ``pars_class``, or makes its own ``self.pars`` after ``super().__init__``.
    """

    pars_class: ClassVar[type[Parameters]] = Parameters
    pars: Any

    def __init__(self, **kwargs: Any) -> None:
        self.pars = self._make_pars_object(kwargs)

    def _make_pars_object(self, kwargs: dict[str, Any]) -> Parameters:
        # names this class does not know may be meant for the parameters of a subclass
        return self.pars_class(_is_lenient=True, **kwargs)

    def help(self) -> None:
        """Print what this part is, what it can do and its parameters."""
        print(self.described())

    def described(self, owner: Parameters | None = None) -> str:
        """The text :meth:`help` prints."""
        first = (inspect.getdoc(type(self)) or "").splitlines()[:1]
        lines = [f"{type(self).__name__}: {first[0] if first else ''}", " Methods:"]
        for name, member in inspect.getmembers(type(self), inspect.isfunction):
            if not name.startswith("_"):
                lines.append(f"  {name}{inspect.signature(member)}")
        lines += [" Parameters:", self.pars.described(owner)]
        for held in vars(self).values():
            inside = held if isinstance(held, list) else [held]
            lines += ["\n" + part.described(self.pars) for part in inside if isinstance(part, Part)]
        return "\n".join(lines)
