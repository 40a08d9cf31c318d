"""Asynchronous jobs over HTTP: every resource of UWS 1.1, section 2.2, on top of the ledger and the runner.

Status calls read the ledger where they are (20 us) and never wait for the queries that run. What writes tries so at
once, and in a small pool of its own should another process hold the ledger just then.
"""

from __future__ import annotations

import asyncio
import shutil
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import ParamSpec, TypeVar

from starlette.datastructures import UploadFile
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from skyvault.errors import Busy, Forbidden, NotFound, ParameterError, Unauthorised
from skyvault.formats import uws_xml
from skyvault.jobs.runner import Runner
from skyvault.model.job import Job, JobUpload, Phase, format_instant, parse_instant
from skyvault.serve import uws_pages
from skyvault.serve.faults import Endpoint, form_for_people, guarded, message_body, prefers_html
from skyvault.serve.params import Form, FormLimits, Parameter, ParameterSet, read_form, spooled, upload_pairs
from skyvault.serve.phase_watch import PhaseWatch

P = ParamSpec("P")
T = TypeVar("T")

#: Names that steer the job and are not parameters of its work (UWS 1.1, sections 2.2.3 and 2.1.4).
_STEERING = ("PHASE", "RUNID", "EXECUTIONDURATION", "DESTRUCTION", "ACTION", "WAIT")
#: How long the event loop itself may wait for the ledger.
_INLINE_PATIENCE_S = 0.002
#: Results up to this size are sent without a thread.
_SMALL_BYTES = 65_536
_NO_STORE = {"cache-control": "no-store"}


@dataclass(frozen=True, slots=True)
class UwsSettings:
    """Limits of one job list. Durations are seconds.

    ``list_length`` is how many of the newest jobs are listed when the client sets no LAST.
    """

    kind: str = "tap"
    execution_default_s: int = 7200
    execution_hard_s: int = 7200
    life_default_s: float = 7 * 86_400.0
    life_hard_s: float = 7 * 86_400.0
    wait_s: float = 30.0
    poll_s: float = 0.005
    list_length: int = 1000
    run_id_length: int = 64
    limits: FormLimits = field(default_factory=FormLimits)


def _nobody(request: Request) -> str | None:
    return None


def _own_base(request: Request) -> str:
    return str(request.base_url).rstrip("/")


def _caller_address(request: Request) -> str | None:
    return request.client.host if request.client else None


class UwsService:
    """The endpoints of one job list.

    ``owner_of`` tells who asks (None: anonymous), ``quota_key_of`` against whose limit an anonymous job counts
    (None: against nobody's), ``base_url`` gives the absolute address of the service's root, without a final slash.
    ``check`` may refuse a job's parameters (by raising) when the client wants it to run.
    """

    def __init__(
        self,
        prefix: str,
        runner: Runner,
        parameters: Iterable[Parameter],
        settings: UwsSettings | None = None,
        *,
        base_url: Callable[[Request], str] = _own_base,
        owner_of: Callable[[Request], str | None] = _nobody,
        quota_key_of: Callable[[Request], str | None] = _caller_address,
        check: Callable[[Request, Job], None] | None = None,
        check_parameters: Callable[[Request, Mapping[str, list[str]]], None] | None = None,
    ) -> None:
        self.prefix = prefix.rstrip("/")
        self.settings = settings or UwsSettings()
        self._runner = runner
        self._jobs = runner.jobs
        self._results = runner.results
        self._database = runner.ledger.database
        self._parameters = ParameterSet(parameters)
        self._base_url = base_url
        self._owner_of = owner_of
        self._quota_key_of = quota_key_of
        self._check = check
        self._check_parameters = check_parameters
        self._watch = PhaseWatch(runner.jobs, runner.ledger.change_counter, poll_s=self.settings.poll_s)
        self._pool = ThreadPoolExecutor(2, thread_name_prefix="skyvault-uws")

    def routes(self) -> list[Route]:
        """The routes of the job list and of all that is below it."""
        job, guard = self.prefix + "/{job_id}", guarded(form_for_people)

        def route(path: str, **endpoints: Endpoint) -> list[Route]:
            return [Route(path, guard(endpoint), methods=[method.upper()]) for method, endpoint in endpoints.items()]

        return [
            *route(self.prefix, get=self.list_jobs, post=self.create),
            *route(job, get=self.show, post=self.act, delete=self.delete),
            *route(job + "/phase", get=self.phase, post=self.set_phase),
            *route(job + "/parameters", get=self.parameters, post=self.set_parameters),
            *route(job + "/executionduration", get=self.duration, post=self.set_duration),
            *route(job + "/destruction", get=self.destruction, post=self.set_destruction),
            *route(job + "/quote", get=self.quote),
            *route(job + "/owner", get=self.owner),
            *route(job + "/error", get=self.error),
            *route(job + "/results", get=self.results),
            *route(job + "/results/{name}", get=self.result),
        ]

    def close(self) -> None:
        """End the service's own threads."""
        self._pool.shutdown()

    # -- the list ------------------------------------------------------------------------------------------------

    async def list_jobs(self, request: Request) -> Response:
        """GET {jobs}: the caller's own; an anonymous caller has none to see (knowing a job's id is the key to it)."""
        owner = self._owner_of(request)
        phases = [_phase(text) for text in _query_values(request, "PHASE")]
        after = [parse_instant(text) for text in _query_values(request, "AFTER")[:1]]
        last = [_whole_number("LAST", text) for text in _query_values(request, "LAST")[:1]]
        summaries = []
        if owner is not None:
            summaries = self._jobs.summaries(
                owner=owner,
                kind=self.settings.kind,
                phases=phases,
                after=after[0] if after else None,
                last=min(last[0] if last else self.settings.list_length, self.settings.list_length),
            )
        url = self._list_url(request)
        if prefers_html(request):
            return _page(uws_pages.list_page(summaries, url=url, owner=owner))
        return _xml(b"".join(uws_xml.jobs_document(summaries, url=url)))

    async def create(self, request: Request) -> Response:
        """POST {jobs}: a new job, PENDING, or on its way with PHASE=RUN. 303 to the job."""
        async with await read_form(request, self.settings.limits) as form:
            steering = _steering(form)
            phase = steering.get("PHASE", "").upper()
            if phase not in ("", "RUN"):
                raise ParameterError(
                    f"a job cannot be created with PHASE={phase[:32]!r}", hint="PHASE=RUN is possible."
                )
            owner = self._owner_of(request)
            now = self._jobs.clock()
            job_id = self._jobs.new_id()
            single, multiple, files = await self._sort(form)
            uploads = await self._store(job_id, files)
            try:
                await self._write(
                    self._jobs.create,
                    self.settings.kind,
                    {**single, **multiple},
                    execution_duration_s=self._clamp_duration(steering.get("EXECUTIONDURATION")),
                    destruction_time=self._clamp_destruction(steering.get("DESTRUCTION"), now),
                    owner=owner,
                    quota_key=owner or self._quota_key_of(request),
                    run_id=self._run_id(steering),
                    uploads=uploads,
                    job_id=job_id,
                )
            except BaseException:
                if uploads:
                    await self._in_pool(self._results.remove, job_id)
                raise
        if phase == "RUN":
            await self._run(request, job_id)
        return _see_other(f"{self._list_url(request)}/{job_id}")

    async def create_from(self, request: Request, parameters: Mapping[str, list[str]]) -> Response:
        """A new job, PENDING, of parameters that another resource has checked. 303 to the job."""
        owner, now = self._owner_of(request), self._jobs.clock()
        job_id = self._jobs.new_id()
        await self._write(
            self._jobs.create,
            self.settings.kind,
            dict(parameters),
            execution_duration_s=self.settings.execution_default_s,
            destruction_time=self._clamp_destruction(None, now),
            owner=owner,
            quota_key=owner or self._quota_key_of(request),
            job_id=job_id,
        )
        return _see_other(f"{self._list_url(request)}/{job_id}")

    # -- one job -------------------------------------------------------------------------------------------------

    async def show(self, request: Request) -> Response:
        """GET {job}: its document; with WAIT=n when its phase has changed or n seconds have passed (2.2.1.1)."""
        job = self._job(request)
        wait = _query_values(request, "WAIT")
        if wait:
            wait_s = self._wait_s(wait[0])
            expected = _query_values(request, "PHASE")
            if job.phase.is_active and wait_s > 0 and (not expected or _phase(expected[0]) is job.phase):
                await self._watch.wait(job.id, job.phase, wait_s)
                job = self._jobs.get(job.id)
        url = self._job_url(request, job)
        position = self._jobs.queue_position(job.id) if job.phase is Phase.QUEUED else None
        if prefers_html(request):
            return _page(uws_pages.job_page(job, url=url, queue_position=position))
        return _xml(uws_xml.job_document(job, url=url, queue_position=position))

    async def act(self, request: Request) -> Response:
        """POST {job}: only ACTION=DELETE; parameters are posted to {job}/parameters (DALI 1.1, section 2.1.2)."""
        job = self._job(request)
        async with await read_form(request, self.settings.limits) as form:
            steering = _steering(form)
        if steering.get("ACTION", "").upper() == "DELETE":
            return await self._delete(request, job)
        raise ParameterError(
            "a POST to a job can only delete it (ACTION=DELETE)",
            hint="Post PHASE to its phase resource, parameters to its parameters resource.",
        )

    async def delete(self, request: Request) -> Response:
        """DELETE {job}: the job, its work and its files go. 303 to the list."""
        return await self._delete(request, self._job(request))

    async def _delete(self, request: Request, job: Job) -> Response:
        await self._write(self._runner.delete, job.id)
        return _see_other(self._list_url(request))

    async def phase(self, request: Request) -> Response:
        return _text(self._job(request).phase)

    async def set_phase(self, request: Request) -> Response:
        """POST PHASE=RUN or PHASE=ABORT. 303 to the job; a job that is there already stays as it is."""
        job = self._job(request)
        async with await read_form(request, self.settings.limits) as form:
            word = _steering(form).get("PHASE", "").upper()
        if word == "RUN":
            await self._run(request, job.id)
        elif word == "ABORT":
            await self._write(self._runner.abort, job.id)
        else:
            raise ParameterError(f"PHASE={word[:32]!r} cannot be asked for", hint="It must be RUN or ABORT.")
        return _see_other(self._job_url(request, job))

    async def parameters(self, request: Request) -> Response:
        return _xml(uws_xml.parameters_document(self._job(request)))

    async def set_parameters(self, request: Request) -> Response:
        """POST to {job}/parameters while PENDING: a single-valued one is replaced, others are added. 303 to the job."""
        job = self._job(request)
        async with await read_form(request, self.settings.limits) as form:
            steering = _steering(form)
            single, multiple, files = await self._sort(form)
            if self._check_parameters is not None:
                # also here: between the look at a job and its start somebody may change what it does
                self._check_parameters(request, single)
            uploads = await self._store(job.id, files)
        await self._write(
            self._jobs.set_parameters,
            job.id,
            replace=single,
            add=multiple,
            uploads=uploads,
            run_id=self._run_id(steering),
        )
        return _see_other(self._job_url(request, job))

    async def duration(self, request: Request) -> Response:
        return _text(self._job(request).execution_duration_s)

    async def set_duration(self, request: Request) -> Response:
        job = self._job(request)
        async with await read_form(request, self.settings.limits) as form:
            text = _steering(form).get("EXECUTIONDURATION")
        if text is None:
            raise ParameterError("EXECUTIONDURATION is missing", hint="Give a number of seconds.")
        await self._write(self._jobs.set_execution_duration, job.id, self._clamp_duration(text))
        return _see_other(self._job_url(request, job))

    async def destruction(self, request: Request) -> Response:
        return _text(format_instant(self._job(request).destruction_time))

    async def set_destruction(self, request: Request) -> Response:
        job = self._job(request)
        async with await read_form(request, self.settings.limits) as form:
            text = _steering(form).get("DESTRUCTION")
        if text is None:
            raise ParameterError("DESTRUCTION is missing", hint="Give a time such as 2026-03-01T12:00:00Z.")
        await self._write(self._jobs.set_destruction, job.id, self._clamp_destruction(text, job.creation_time))
        return _see_other(self._job_url(request, job))

    async def quote(self, request: Request) -> Response:
        job = self._job(request)
        return _text("" if job.phase.is_final else format_instant(job.quote))

    async def owner(self, request: Request) -> Response:
        return _text(self._job(request).owner or "")

    async def error(self, request: Request) -> Response:
        """GET {job}/error: why it failed; 200, since that document is what was asked for (TAP 1.1, section 5.2)."""
        job = self._job(request)
        if job.error is None:
            raise NotFound(f"job {job.id} has no error, its phase is {job.phase}")
        form = form_for_people(request)
        content_type = "text/html; charset=utf-8" if form == "html" else "application/x-votable+xml"
        return Response(message_body(job.error.message, form), headers={"content-type": content_type, **_NO_STORE})

    async def results(self, request: Request) -> Response:
        job = self._job(request)
        return _xml(uws_xml.results_document(job, url=self._job_url(request, job)))

    async def result(self, request: Request) -> Response:
        """GET {job}/results/{name}: the file, whole or in ranges. 404 with the reason when there is none."""
        job = self._job(request)
        result = job.result(request.path_params["name"])
        if result is None:
            if job.phase is Phase.ERROR:
                hint = f"It failed; the reason is at {self._job_url(request, job)}/error."
            elif job.phase.is_final:
                hint = f"Its phase is {job.phase}."
            else:
                hint = f"It is not done yet, its phase is {job.phase}."
            raise NotFound(f"job {job.id} has no result {request.path_params['name'][:64]!r}", hint=hint)
        path = self._results.path(job, result)
        # as it was stored: a charset of Starlette's choosing would not be the type that was asked for
        headers = {"content-type": result.content_type, "cache-control": "private, no-cache"}
        status = path.stat()
        file = FileResponse(path, headers=headers, stat_result=status)
        if status.st_size > _SMALL_BYTES or "range" in request.headers:
            return file
        return Response(path.read_bytes(), headers=dict(file.headers))

    # -- inside --------------------------------------------------------------------------------------------------

    def _job(self, request: Request) -> Job:
        job = self._jobs.get(request.path_params["job_id"])
        if job.kind != self.settings.kind:
            raise NotFound(f"there is no job {job.id!r} here")
        if job.owner is not None:
            caller = self._owner_of(request)
            if caller is None:
                raise Unauthorised("this job belongs to somebody", hint="Log in to see it.")
            if caller != job.owner:
                raise Forbidden("this job belongs to somebody else")
        return job

    def _list_url(self, request: Request) -> str:
        return self._base_url(request).rstrip("/") + self.prefix

    def _job_url(self, request: Request, job: Job) -> str:
        return f"{self._list_url(request)}/{job.id}"

    async def _run(self, request: Request, job_id: str) -> None:
        if self._check is not None:
            self._check(request, self._jobs.get(job_id))
        await self._write(self._runner.submit, job_id)

    async def _write(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what writes the ledger: here if that needs no waiting, else in the pool."""
        try:
            with self._database.patience(_INLINE_PATIENCE_S):
                return act(*args, **kwargs)
        except Busy as busy:
            if busy.retry_after_s > 1:
                raise
            return await self._in_pool(act, *args, **kwargs)

    async def _in_pool(self, act: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: act(*args, **kwargs))

    async def _sort(self, form: Form) -> tuple[dict[str, list[str]], dict[str, list[str]], dict[str, UploadFile]]:
        """A form's parameters that replace earlier ones, those that are added to them, and the files meant by UPLOAD.

        Declared names get their own spelling; unknown ones, which the work will ignore, keep theirs.
        """
        pairs = [(name, value) for name, value in form.pairs if name.upper() not in _STEERING]
        files = dict(form.files)
        for name in list(files):
            # some clients send every parameter as if it were a file
            if self._parameters.find(name) is not None:
                content = await files.pop(name).read(self.settings.limits.field_bytes)
                pairs.append((name, content.decode("utf-8", errors="replace")))
        texts = self._parameters.texts(pairs)
        single: dict[str, list[str]] = {}
        multiple: dict[str, list[str]] = {}
        for name, values in texts.items():
            parameter = self._parameters.find(name)
            (multiple if parameter is not None and parameter.multiple else single)[name] = values
        for name, value in pairs:
            if self._parameters.find(name) is None and value.strip():
                multiple.setdefault(name[:64], []).append(value)
        wanted = [
            uri[len("param:") :] for _, uri in upload_pairs(texts.get("UPLOAD", ())) if uri.lower().startswith("param:")
        ]
        plain = {name: value for name, value in pairs if name in wanted}
        for part in wanted:
            if part not in files and part not in plain:
                raise ParameterError(
                    f"UPLOAD names the part {part[:64]!r}, which is not in this request",
                    hint="Send it as multipart/form-data together with UPLOAD.",
                )
        for part in wanted:
            # a table sent as a plain field is not a parameter
            multiple.pop(part, None)
            if part not in files:
                files[part] = form.files[part] = spooled(plain[part].encode())
        return single, multiple, {name: file for name, file in files.items() if name in wanted}

    async def _store(self, job_id: str, files: Mapping[str, UploadFile]) -> list[JobUpload]:
        """Lay the uploaded tables into the job's folder."""
        if not files:
            return []
        folder = await self._in_pool(self._results.make_folder, job_id)
        stamp = time.monotonic_ns()
        uploads = []
        for number, (name, file) in enumerate(files.items()):
            stored = f"upload-{stamp}-{number}"
            await self._in_pool(_copy, file, folder / stored)
            content_type = file.content_type or "application/octet-stream"
            uploads.append(JobUpload(name, stored, content_type[:200], file.size or 0))
        return uploads

    def _run_id(self, steering: Mapping[str, str]) -> str | None:
        run_id = steering.get("RUNID")
        if run_id is not None and len(run_id) > self.settings.run_id_length:
            raise ParameterError(f"RUNID has {len(run_id)} characters, at most {self.settings.run_id_length} are kept")
        return run_id

    def _wait_s(self, text: str) -> float:
        try:
            wait_s = int(text.strip())
        except ValueError:
            raise ParameterError(f"WAIT={text[:32]!r} is not valid", hint="Give seconds, or -1 for long.") from None
        return self.settings.wait_s if wait_s < 0 else min(float(wait_s), self.settings.wait_s)

    def _clamp_duration(self, text: str | None) -> int:
        """Seconds within the service's limit; zero means unlimited, which is the limit (UWS 1.1, section 2.1.5)."""
        if text is None:
            return self.settings.execution_default_s
        seconds = _whole_number("EXECUTIONDURATION", text)
        return min(seconds, self.settings.execution_hard_s) if seconds > 0 else self.settings.execution_hard_s

    def _clamp_destruction(self, text: str | None, created: float) -> float:
        if text is None:
            return created + self.settings.life_default_s
        return min(parse_instant(text), created + self.settings.life_hard_s)


def uws_routes(
    prefix: str,
    runner: Runner,
    parameters: Iterable[Parameter],
    settings: UwsSettings | None = None,
    *,
    base_url: Callable[[Request], str] = _own_base,
    owner_of: Callable[[Request], str | None] = _nobody,
    quota_key_of: Callable[[Request], str | None] = _caller_address,
    check: Callable[[Request, Job], None] | None = None,
) -> list[Route]:
    """The routes of a job list at ``prefix`` ("/tap/async"); see :class:`UwsService`."""
    service = UwsService(
        prefix,
        runner,
        parameters,
        settings,
        base_url=base_url,
        owner_of=owner_of,
        quota_key_of=quota_key_of,
        check=check,
    )
    return service.routes()


def _xml(document: bytes) -> Response:
    return Response(document, headers={"content-type": uws_xml.CONTENT_TYPE, **_NO_STORE})


def _text(content: object) -> Response:
    return Response(str(content), headers={"content-type": "text/plain; charset=utf-8", **_NO_STORE})


def _page(page: str) -> Response:
    # a page made of users' texts runs no script, whatever they wrote
    policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
    headers = {"content-type": "text/html; charset=utf-8", "content-security-policy": policy, **_NO_STORE}
    return Response(page, headers=headers)


def _see_other(url: str) -> Response:
    return Response(f"{url}\n", 303, headers={"location": url, "content-type": "text/plain", **_NO_STORE})


def _query_values(request: Request, name: str) -> list[str]:
    return [value for key, value in request.query_params.multi_items() if key.upper() == name and value.strip()]


def _steering(form: Form) -> dict[str, str]:
    steering: dict[str, str] = {}
    for name, value in form.pairs:
        if name.upper() in _STEERING and value.strip():
            if name.upper() in steering:
                raise ParameterError(f"{name.upper()} is given several times", hint="Give it once.")
            steering[name.upper()] = value.strip()
    return steering


def _phase(text: str) -> Phase:
    try:
        return Phase(text.strip().upper())
    except ValueError:
        raise ParameterError(
            f"PHASE={text[:32]!r} is not a phase", hint="It must be one of " + ", ".join(Phase) + "."
        ) from None


def _whole_number(name: str, text: str) -> int:
    stripped = text.strip()
    if not stripped.isascii() or not stripped.isdigit() or len(stripped) > 9:
        raise ParameterError(f"{name}={text[:32]!r} is not valid", hint="It must be a whole number.")
    return int(stripped)


def _copy(file: UploadFile, path: Path) -> None:
    file.file.seek(0)
    with path.open("xb") as target:
        shutil.copyfileobj(file.file, target, 1 << 20)
