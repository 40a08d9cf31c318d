"""Parameters of a protocol, declared once, and how they are read from a request (DALI 1.1, section 2.3).

Names are equal in any case, empty values count as absent, unknown names are ignored, a parameter that takes one
value must not be repeated. Parameters come in the query string, in an urlencoded body or in a multipart one, whose
files are spooled to disk beyond a few megabytes; every size is limited while it is read.
"""

from __future__ import annotations

import math
import re
import tempfile
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, TypeAlias
from urllib.parse import parse_qsl

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from skyvault.errors import ParameterError, TooLarge
from skyvault.formats.capability import InputParam
from skyvault.model.job import parse_instant
from skyvault.model.table import Column, Datatype

if TYPE_CHECKING:
    from starlette.requests import Request

ParameterType = Literal["text", "integer", "real", "boolean", "timestamp"]
Value: TypeAlias = str | int | float | bool
Pairs: TypeAlias = Sequence[tuple[str, str]]

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_TRUE = frozenset({"1", "true", "t", "yes", "y"})
_FALSE = frozenset({"0", "false", "f", "no", "n"})


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter of a protocol.

    ``type`` "timestamp" gives seconds since 1970 (UTC). ``choices`` are matched in any case and given as written
    here. ``aliases`` are older names, looked at only when the parameter's own name is absent (TAP's FORMAT).
    ``minimum`` and ``maximum`` belong to numbers, ``longest`` (characters) to texts.
    """

    name: str
    type: ParameterType = "text"
    multiple: bool = False
    default: Value | None = None
    doc: str = ""
    unit: str | None = None
    ucd: str | None = None
    utype: str | None = None
    xtype: str | None = None
    choices: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    required: bool = False
    minimum: float | None = None
    maximum: float | None = None
    longest: int | None = None

    def read(self, text: str) -> Value:
        """The value that ``text`` says. Raises ParameterError with the name, the value and what is allowed."""
        value = self._convert(text)
        if self.choices:
            for choice in self.choices:
                if str(value).lower() == choice.lower():
                    return choice
            raise self._wrong(text, "one of " + ", ".join(self.choices))
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            if self.minimum is not None and value < self.minimum:
                raise self._wrong(text, f"at least {self.minimum:g}")
            if self.maximum is not None and value > self.maximum:
                raise self._wrong(text, f"at most {self.maximum:g}")
        if self.longest is not None and isinstance(value, str) and len(value) > self.longest:
            raise ParameterError(f"{self.name} has {len(value)} characters, at most {self.longest} are taken")
        return value

    def _convert(self, text: str) -> Value:
        stripped = text.strip()
        if self.type == "text":
            return text
        if self.type == "integer":
            if not _INTEGER.fullmatch(stripped):
                raise self._wrong(text, "an integer")
            return int(stripped)
        if self.type == "real":
            try:
                value = float(stripped)
            except ValueError:
                raise self._wrong(text, "a number") from None
            if math.isnan(value):
                raise self._wrong(text, "a number")
            return value
        if self.type == "boolean":
            if stripped.lower() in _TRUE:
                return True
            if stripped.lower() in _FALSE:
                return False
            raise self._wrong(text, "true or false")
        try:
            return parse_instant(stripped)
        except ParameterError as error:
            raise ParameterError(f"{self.name}={text[:64]!r} is not a time", hint=error.hint) from None

    def _wrong(self, text: str, allowed: str) -> ParameterError:
        return ParameterError(f"{self.name}={text[:64]!r} is not valid", hint=f"It must be {allowed}.")

    def as_column(self) -> Column:
        """The parameter as a PARAM of a service descriptor or a metadata answer."""
        datatypes: dict[ParameterType, Datatype] = {"integer": "long", "real": "double", "boolean": "boolean"}
        datatype = datatypes.get(self.type, "char")
        return Column(
            name=self.name,
            datatype=datatype,
            arraysize="*" if datatype == "char" else None,
            xtype=self.xtype or ("timestamp" if self.type == "timestamp" else None),
            unit=self.unit,
            ucd=self.ucd,
            utype=self.utype,
            description=self.doc or None,
            minimum=None if self.minimum is None else f"{self.minimum:g}",
            maximum=None if self.maximum is None else f"{self.maximum:g}",
            options=tuple((choice, choice) for choice in self.choices),
            value="" if self.default is None else str(self.default),
        )

    def as_input(self) -> InputParam:
        """The parameter as a capabilities document lists it."""
        simple: dict[ParameterType, Literal["integer", "real", "boolean"]] = {
            "integer": "integer",
            "real": "real",
            "boolean": "boolean",
        }
        return InputParam(
            name=self.name,
            datatype=simple.get(self.type, "string"),
            description=self.doc or None,
            unit=self.unit,
            ucd=self.ucd,
            utype=self.utype,
            use="required" if self.required else "optional",
        )


class ParameterSet:
    """The parameters of one protocol, in the order of their declaration."""

    def __init__(self, parameters: Iterable[Parameter]) -> None:
        self.parameters = tuple(parameters)
        # any spelling -> (parameter, rank of the spelling: 0 its own name, then its aliases)
        self._spellings: dict[str, tuple[Parameter, int]] = {}
        for parameter in self.parameters:
            for rank, name in enumerate((parameter.name, *parameter.aliases)):
                self._spellings[name.upper()] = (parameter, rank)

    def find(self, name: str) -> Parameter | None:
        """The parameter that ``name``, in any case, means; None when there is none."""
        found = self._spellings.get(name.upper())
        return None if found is None else found[0]

    def texts(self, pairs: Pairs) -> dict[str, list[str]]:
        """The values given, as texts, by declared name; absent and empty ones are missing, unknown ones left out.

        Raises ParameterError when a parameter that takes one value has several.
        """
        found: dict[str, dict[int, list[str]]] = {}
        for name, text in pairs:
            spelling = self._spellings.get(name.upper())
            if spelling is not None and text.strip():
                found.setdefault(spelling[0].name, {}).setdefault(spelling[1], []).append(text)
        texts: dict[str, list[str]] = {}
        for parameter in self.parameters:
            ranks = found.get(parameter.name)
            if ranks is None:
                continue
            values = ranks[min(ranks)]
            if len(values) > 1 and not parameter.multiple:
                raise ParameterError(
                    f"{parameter.name} is given {len(values)} times", hint="It takes one value; give it once."
                )
            texts[parameter.name] = values
        return texts

    def read(self, pairs: Pairs) -> dict[str, Any]:
        """Every parameter's value by declared name: its default (or None) when absent, a list when ``multiple``.

        Raises ParameterError for a wrong value, a repeated one, a missing required one.
        """
        texts = self.texts(pairs)
        values: dict[str, Any] = {}
        for parameter in self.parameters:
            given = texts.get(parameter.name)
            if given is None:
                if parameter.required:
                    raise ParameterError(f"{parameter.name} is missing", hint=parameter.doc or None)
                values[parameter.name] = [] if parameter.multiple else parameter.default
            elif parameter.multiple:
                values[parameter.name] = [parameter.read(text) for text in given]
            else:
                values[parameter.name] = parameter.read(given[0])
        return values


def upload_pairs(values: Iterable[str]) -> list[tuple[str, str]]:
    """The (table name, URI) pairs of TAP's UPLOAD parameter (TAP 1.1, section 2.5). Raises ParameterError."""
    pairs: list[tuple[str, str]] = []
    for value in values:
        # several pairs in one value, divided by semicolons, is TAP 1.0's way
        for pair in filter(None, (one.strip() for one in value.split(";"))):
            name, comma, uri = (part.strip() for part in pair.partition(","))
            if not comma or not name or not uri:
                raise ParameterError(
                    f"UPLOAD={pair[:64]!r} is not a pair of table name and URI",
                    hint="Write UPLOAD=mytable,param:mypart and send the table as the multipart part mypart.",
                )
            if name.lower() in (other.lower() for other, _ in pairs):
                raise ParameterError(f"UPLOAD names the table {name[:64]!r} twice", hint="Give each another name.")
            pairs.append((name, uri))
    return pairs


# -- reading a request -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class FormLimits:
    """How much of a request is taken: bytes of all fields and of all files, and how many there may be of each."""

    field_bytes: int = 1_000_000
    file_bytes: int = 100_000_000
    fields: int = 1000
    files: int = 32
    #: files up to this size stay in memory
    spool_bytes: int = 4_000_000


@dataclass(slots=True)
class Form:
    """What a request brought: ``pairs`` of names and values from query string and body, and its ``files``.

    Use it as an asynchronous context, or :meth:`close` it: the files are temporary.
    """

    pairs: list[tuple[str, str]]
    files: dict[str, UploadFile] = field(default_factory=dict)

    async def close(self) -> None:
        for file in self.files.values():
            await file.close()

    async def __aenter__(self) -> Form:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def read_form(request: Request, limits: FormLimits | None = None) -> Form:
    """Read what a GET or POST request says. Raises ParameterError, and TooLarge (413) with the limit.

    A body that is neither urlencoded nor multipart is a ParameterError; an empty one is nothing.
    """
    limits = limits or FormLimits()
    form = Form(_decode(request.scope.get("query_string", b""), limits))
    if request.method in ("GET", "HEAD", "DELETE", "OPTIONS"):
        return form
    content_type = request.headers.get("content-type", "")
    kind = content_type.partition(";")[0].strip().lower()
    stream = request.stream().__aiter__()
    # multipart adds boundaries and headers of its own to fields and files
    most = limits.field_bytes if kind != "multipart/form-data" else limits.field_bytes + limits.file_bytes
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > most:
        await _drain(stream, 2 * most)
        raise _too_large(kind, limits)
    try:
        if kind == "multipart/form-data":
            await _read_multipart(request, _counted(stream, most, kind, limits), limits, form)
        else:
            body = b"".join([chunk async for chunk in _counted(stream, most, kind, limits)])
            if body.strip() and kind != "application/x-www-form-urlencoded":
                raise ParameterError(
                    f"the body of the request is {kind[:64] or 'of no stated type'}, which is not understood",
                    hint="Send application/x-www-form-urlencoded or multipart/form-data.",
                )
            form.pairs += _decode(body, limits)
    except TooLarge:
        await form.close()
        # a client that is still sending does not see an answer: let it finish, within reason
        await _drain(stream, 2 * most)
        raise
    except BaseException:
        await form.close()
        raise
    return form


def _decode(encoded: bytes, limits: FormLimits) -> list[tuple[str, str]]:
    if not encoded:
        return []
    try:
        return parse_qsl(
            encoded.decode("ascii", errors="surrogateescape"),
            keep_blank_values=True,
            max_num_fields=limits.fields,
            errors="strict",
        )
    except UnicodeDecodeError:
        raise ParameterError("the request's parameters are not UTF-8", hint="Encode them as UTF-8.") from None
    except ValueError:
        raise ParameterError(f"the request has more than {limits.fields} parameters") from None


class _Parser(MultiPartParser):
    """Starlette's parser with our limits; what is over them is a TooLarge, not a broken request."""

    def __init__(self, request: Request, stream: AsyncIterator[bytes], limits: FormLimits) -> None:
        super().__init__(
            request.headers,
            stream,  # type: ignore[arg-type]
            max_files=limits.files,
            max_fields=limits.fields,
            max_part_size=limits.field_bytes,
        )
        self.spool_max_size = limits.spool_bytes
        self._limits = limits
        self._file_bytes = 0

    def on_part_data(self, data: bytes, start: int, end: int) -> None:
        part = self._current_part
        if part.file is None:
            if len(part.data) + end - start > self.max_part_size:
                raise _too_large("", self._limits)
        else:
            self._file_bytes += end - start
            if self._file_bytes > self._limits.file_bytes:
                raise _too_large("multipart/form-data", self._limits)
        super().on_part_data(data, start, end)


async def _read_multipart(request: Request, stream: AsyncIterator[bytes], limits: FormLimits, form: Form) -> None:
    try:
        parsed = await _Parser(request, stream, limits).parse()
    except MultiPartException as error:
        raise ParameterError(f"the multipart body cannot be read: {error.message}") from None
    for name, value in parsed.multi_items():
        if isinstance(value, UploadFile):
            if name in form.files:
                await parsed.close()
                raise ParameterError(f"the multipart body has two files named {name[:64]!r}")
            form.files[name] = value
        else:
            form.pairs.append((name, value))


async def _counted(stream: AsyncIterator[bytes], most: int, kind: str, limits: FormLimits) -> AsyncIterator[bytes]:
    seen = 0
    async for chunk in stream:
        seen += len(chunk)
        if seen > most + 65_536:
            raise _too_large(kind, limits)
        yield chunk


async def _drain(stream: AsyncIterator[bytes], most: int) -> None:
    seen = 0
    async for chunk in stream:
        seen += len(chunk)
        if seen > most:
            return


def _too_large(kind: str, limits: FormLimits) -> TooLarge:
    if kind == "multipart/form-data":
        return TooLarge(
            f"the uploaded tables are larger than the {limits.file_bytes:,} bytes this service takes",
            hint="Upload fewer rows or columns at a time, or use a binary VOTable or Parquet.",
        )
    return TooLarge(f"the request's parameters are larger than the {limits.field_bytes:,} bytes this service takes")


def spooled(content: bytes) -> UploadFile:
    """A file of a request whose content came as a plain field."""
    file = tempfile.SpooledTemporaryFile(max_size=max(len(content), 1) + 1)  # noqa: SIM115 - closed with its Form
    file.write(content)
    file.seek(0)
    return UploadFile(file, size=len(content))  # type: ignore[arg-type]


def merged(texts: Mapping[str, Sequence[str]]) -> list[tuple[str, str]]:
    """Stored parameters (of a job) as pairs, to be read again."""
    return [(name, value) for name, values in texts.items() for value in values]
