"""UWS documents: a job, a list of jobs, its parameters and results (UWS 1.1, section 2.2.2 and appendix A).

The elements come in the order of the schema; the namespace still says v1.0, the attribute ``version`` says 1.1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from urllib.parse import quote
from xml.etree.ElementTree import Element

from skyvault.errors import FormatError, ParameterError
from skyvault.formats.xml_text import attributes, element, read_small
from skyvault.model.job import Job, JobError, JobSummary, Phase, format_instant, parse_instant

UWS = "http://www.ivoa.net/xml/UWS/v1.0"
XLINK = "http://www.w3.org/1999/xlink"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
CONTENT_TYPE = "text/xml;charset=UTF-8"

_HEAD = '<?xml version="1.0" encoding="UTF-8"?>\n'
_NAMESPACES = f' xmlns:uws="{UWS}" xmlns:xlink="{XLINK}" xmlns:xsi="{XSI}"'


def job_document(job: Job, *, url: str, queue_position: int | None = None) -> bytes:
    """The document of one job. ``url`` is the job's absolute address, below which its results are."""
    is_over = job.phase.is_final
    parts = [
        f'{_HEAD}<uws:job{_NAMESPACES} version="1.1">',
        element("uws:jobId", job.id),
        element("uws:runId", job.run_id),
        _nillable("uws:ownerId", job.owner),
        element("uws:phase", job.phase),
        _nillable("uws:quote", None if is_over else format_instant(job.quote)),
        element("uws:creationTime", format_instant(job.creation_time)),
        _nillable("uws:startTime", None if job.start_time is None else format_instant(job.start_time)),
        _nillable("uws:endTime", None if job.end_time is None else format_instant(job.end_time)),
        element("uws:executionDuration", job.execution_duration_s),
        element("uws:destruction", format_instant(job.destruction_time)),
        _parameters(job, ""),
        _results(job, url, ""),
        _error_summary(job.error),
        _job_info(job, queue_position),
        "</uws:job>\n",
    ]
    return "\n".join(part for part in parts if part).encode()


def jobs_document(summaries: Iterable[JobSummary], *, url: str) -> Iterator[bytes]:
    """The document of a list of jobs, piece by piece. ``url`` is the list's absolute address."""
    yield f'{_HEAD}<uws:jobs{_NAMESPACES} version="1.1">\n'.encode()
    for job in summaries:
        href = f"{url}/{quote(job.id, safe='')}"
        yield (
            f"<uws:jobref{attributes((('id', job.id), ('xlink:href', href)))}>"
            f"{element('uws:phase', job.phase)}{element('uws:runId', job.run_id)}"
            f"{_nillable('uws:ownerId', job.owner)}"
            f"{element('uws:creationTime', format_instant(job.creation_time))}</uws:jobref>\n"
        ).encode()
    yield b"</uws:jobs>\n"


def parameters_document(job: Job) -> bytes:
    """The document of a job's parameters."""
    return (_HEAD + _parameters(job, _NAMESPACES) + "\n").encode()


def results_document(job: Job, *, url: str) -> bytes:
    """The document of a job's results. ``url`` is the job's absolute address."""
    return (_HEAD + _results(job, url, _NAMESPACES) + "\n").encode()


def _nillable(tag: str, content: object | None) -> str:
    return f'<{tag} xsi:nil="true"/>' if content is None else element(tag, content)


def _parameters(job: Job, namespaces: str) -> str:
    found = "".join(
        element("uws:parameter", value, ("id", name)) for name, values in job.parameters.items() for value in values
    )
    return f"<uws:parameters{namespaces}>{found}</uws:parameters>"


def _results(job: Job, url: str, namespaces: str) -> str:
    found = "".join(
        "<uws:result"
        + attributes(
            (
                ("id", result.name),
                ("xlink:href", f"{url}/results/{quote(result.name, safe='')}"),
                ("size", result.size),
                ("mime-type", result.content_type),
            )
        )
        + "/>"
        for result in job.results
    )
    return f"<uws:results{namespaces}>{found}</uws:results>"


def _error_summary(error: JobError | None) -> str:
    if error is None:
        return ""
    kind = "transient" if error.is_transient else "fatal"
    detail = "true" if error.has_detail else "false"
    return (
        f'<uws:errorSummary type="{kind}" hasDetail="{detail}">{element("uws:message", error.message)}'
        "</uws:errorSummary>"
    )


def _job_info(job: Job, queue_position: int | None) -> str:
    """What UWS has no word for: the place in the queue, and what the work says about how far it is."""
    told = "".join(
        element(name, value)
        for name, value in {"queuePosition": queue_position, **job.progress}.items()
        if name.isidentifier() and name.isascii()
    )
    return f"<uws:jobInfo>{told}</uws:jobInfo>" if told else ""


# -- reading -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ResultLink:
    """A result as a job document shows it."""

    name: str
    href: str
    content_type: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True)
class JobDocument:
    """What any service says about a job. Times are seconds since 1970 (UTC), None when not told."""

    id: str
    phase: Phase
    run_id: str | None = None
    owner: str | None = None
    quote: float | None = None
    creation_time: float | None = None
    start_time: float | None = None
    end_time: float | None = None
    execution_duration_s: int | None = None
    destruction_time: float | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    results: tuple[ResultLink, ...] = ()
    error: JobError | None = None
    info: dict[str, str] = field(default_factory=dict)


def read_job(document: bytes) -> JobDocument:
    """Read a job document of UWS 1.0 or 1.1, as real services write them: absent and empty elements are None.

    Raises FormatError when it is not one.
    """
    root = read_small(document)
    if _local(root) != "job":
        raise FormatError(f"this is no UWS job document: its root is <{_local(root)}>, not <job>")
    children = {_local(child): child for child in root}
    # twice the same: the first counts, as in every other reader
    for child in reversed(list(root)):
        children[_local(child)] = child
    job_id, phase = _content(children.get("jobId")), _content(children.get("phase"))
    if job_id is None or phase is None:
        raise FormatError("the UWS job document has no jobId or no phase")
    duration = _content(children.get("executionDuration"))
    return JobDocument(
        id=job_id,
        phase=Phase(phase) if phase in Phase.__members__ else Phase.UNKNOWN,
        run_id=_content(children.get("runId")),
        owner=_content(children.get("ownerId")),
        quote=_time(children.get("quote")),
        creation_time=_time(children.get("creationTime")),
        start_time=_time(children.get("startTime")),
        end_time=_time(children.get("endTime")),
        execution_duration_s=int(duration) if duration is not None and duration.isdigit() else None,
        destruction_time=_time(children.get("destruction")),
        parameters=tuple(
            (one.get("id", ""), (one.text or "").strip()) for one in children.get("parameters", Element("parameters"))
        ),
        results=tuple(
            ResultLink(
                one.get("id", ""),
                one.get(f"{{{XLINK}}}href", ""),
                one.get("mime-type"),
                int(one.get("size", "")) if one.get("size", "").isdigit() else None,
            )
            for one in children.get("results", Element("results"))
        ),
        error=_read_error(children.get("errorSummary")),
        info={
            _local(one): (one.text or "").strip()
            for one in children.get("jobInfo", Element("jobInfo")).iter()
            if not len(one) and _local(one) != "jobInfo"
        },
    )


def _local(node: Element) -> str:
    return node.tag.rpartition("}")[2]


def _content(node: Element | None) -> str | None:
    return ((node.text or "").strip() or None) if node is not None else None


def _time(node: Element | None) -> float | None:
    content = _content(node)
    try:
        return None if content is None else parse_instant(content)
    except ParameterError:
        # a time that cannot be read is no reason to lose the job
        return None


def _read_error(node: Element | None) -> JobError | None:
    if node is None:
        return None
    message = next((_content(child) for child in node if _local(child) == "message"), None)
    return JobError(message or "", node.get("type") == "transient", node.get("hasDetail") in ("true", "1"))
