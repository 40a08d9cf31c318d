"""Products that functions of hooks.py make when they are asked for: behind /get, and as services on datasets."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from skyvault.errors import Busy, Forbidden, NotFound, ParameterError
from skyvault.jobs.hook_pool import HookPool, HookTask, Made
from skyvault.model.hook_service import HookParameter, HookService
from skyvault.model.product import Product
from skyvault.model.service_descriptor import ServiceDescriptor
from skyvault.serve.params import Pairs, Parameter, ParameterSet
from skyvault.serve.table_response import TableResponse, collect
from skyvault.store.products import Collection, collection, products_of, table_of

if TYPE_CHECKING:
    import threading

    from starlette.responses import Response

    from skyvault.serve.identity import Identity
    from skyvault.serve.product_addresses import ProductAddresses
    from skyvault.serve.service import Service

#: requests that may wait for a process, beyond those that have one
_WAITING: Final = 32
#: ends of names of files people keep
_ENDINGS: Final = {"application/x-votable+xml": ".vot", "text/xml": ".xml", "application/fits": ".fits",
                   "text/csv": ".csv", "image/png": ".png", "application/json": ".json",
                   "text/plain": ".txt"}  # fmt: skip


class HookProducts:
    """Makes them, in processes beside this one."""

    def __init__(self, service: Service, addresses: ProductAddresses) -> None:
        self.service = service
        self.addresses = addresses
        settings = service.settings
        self._pool = HookPool(settings, service.store.layout.temporary)
        self._threads = ThreadPoolExecutor(2 * settings.hook_processes, thread_name_prefix="skyvault-hooks")
        self._busy = 0

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._pool.close()

    # -- products of datasets ------------------------------------------------------------------------------------

    async def product(self, product: Product, found: Collection) -> Response:
        """A product whose place is a hook; whoever asks has been let in."""
        return await self._answer(self._product_task, product, found)

    def _product_task(self, product: Product, found: Collection) -> HookTask:
        content_type = product.content_type or "application/octet-stream"
        path = None
        if not (product.semantics == "#this" and product.number == 0):
            this = products_of(self.service.store, [product.did])[product.did][0]
            path = None if this.place == "hook" else found.path_of(this)
        return HookTask(
            found.schema, found.hooks, product.path, product.did, found.name, path, content_type=content_type
        )

    # -- services on datasets ------------------------------------------------------------------------------------

    async def serve(self, name: str, pairs: Pairs, identity: Identity) -> Response:
        """What a service makes of one dataset, at once. Raises ParameterError, NotFound, Forbidden."""
        dids = _values(pairs, "ID")
        if len(dids) != 1:
            raise ParameterError(f"ID is given {len(dids)} times", hint="Use /soda/async for several datasets.")
        return await self._answer(self.task, name, dids[0], pairs, identity)

    def task(self, name: str, did: str, pairs: Pairs, identity: Identity) -> HookTask:
        """What a request for the service ``name`` on a dataset means. Raises ParameterError, NotFound, Forbidden."""
        products = products_of(self.service.store, [did]).get(did)
        table = table_of(did)
        if not products or table is None or products[0].semantics != "#this":
            raise NotFound(f"there is no dataset {did[:200]!r} here")
        found, this = collection(self.service.store, table), products[0]
        known = {one.name.lower(): one for one in found.hook_services}
        own = known.get(name.strip().lower())
        if own is None:
            told = f"There are {', '.join(one.name for one in found.hook_services)}." if known else None
            raise ParameterError(f"SERVICE={name[:64]!r} is none for the datasets of {found.name}", hint=told)
        if self.addresses.is_held(this) and not identity_names(identity) & found.embargo_for:
            raise Forbidden(f"the file is not public before {this.released}")
        # the function's own defaults stand for what is not given
        named = {key: value for key, value in parameters_of(own).read(pairs).items() if value is not None}
        path = None if this.place == "hook" else found.path_of(this)
        return HookTask(found.schema, found.hooks, own.hook, did, found.name, path, named, own.content_type)

    def make(self, task: HookTask, *, seconds: float, stopping: threading.Event | None = None) -> Made:
        """Run the hook; see :meth:`skyvault.jobs.hook_pool.HookPool.make`."""
        return self._pool.make(task, seconds=seconds, stopping=stopping)

    # -- inside --------------------------------------------------------------------------------------------------

    async def _answer(self, task_of: Any, *given: Any) -> Response:
        if self._busy >= 2 * self.service.settings.hook_processes + _WAITING:
            raise Busy("too many products wait to be made", retry_after_s=10)
        self._busy += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._made, task_of, *given)
        finally:
            self._busy -= 1

    def _made(self, task_of: Any, *given: Any) -> Response:
        task: HookTask = task_of(*given)
        made = self.make(task, seconds=self.service.settings.sync_time_s)
        first, rest = collect(made.chunks())
        name = f"{_file_name(task.did)}{_ENDINGS.get(made.content_type.partition(';')[0], '')}"
        shown = "inline" if made.content_type.startswith(("image/", "text/plain")) else "attachment"
        headers = {
            "cache-control": "private, no-cache",
            "content-disposition": f'{shown}; filename="{name}"',
            "x-content-type-options": "nosniff",
            "content-security-policy": "sandbox",
        }
        return TableResponse(self.service, first, rest, made.content_type, headers)


def identity_names(identity: Identity) -> set[str]:
    """Under which names somebody may be let in: the own one and those of groups."""
    return set() if identity.user is None else {identity.user.name, *identity.groups}


def parameters_of(own: HookService) -> ParameterSet:
    """The parameters of a service, to be read from a request."""
    return ParameterSet(_parameter(one) for one in own.parameters)


def _parameter(one: HookParameter) -> Parameter:
    return Parameter(
        one.name,
        one.kind,
        default=one.default,
        doc=one.description or "",
        unit=one.unit,
        ucd=one.ucd,
        xtype=one.xtype,
        choices=one.values,
        required=one.is_required,
        minimum=one.minimum,
        maximum=one.maximum,
        longest=10_000,
    )


def hook_descriptor(own: HookService, identifier: str, address: str, reference: str) -> ServiceDescriptor:
    """A service described beside the rows whose column of identifiers has the ID ``reference`` (DataLink 1.1, 4.1)."""
    from skyvault.model.table import Column

    inputs = [
        Column("ID", "char", "*", ucd="meta.id;meta.main", ref=reference, value="", description="Dataset"),
        Column("SERVICE", "char", "*", ucd="meta.id", value=own.name, description="What is to be done"),
    ]
    for one in own.parameters:
        column = _parameter(one).as_column()
        # with a value it would be fixed; the default goes without saying
        told = column.description or ""
        if one.default is not None:
            told = f"{told}{' ' if told else ''}(default: {one.default})"
        # of a single number without a value pyvo 1.9 makes an error, and a size of 1 is deprecated
        size = column.arraysize or ("*" if column.datatype in ("long", "double") else None)
        inputs.append(replace(column, value="", arraysize=size, description=told or None))
    return ServiceDescriptor(
        identifier, address, tuple(inputs), None, own.content_type, own.description or own.name, own.name
    )


def asked_service(pairs: Pairs) -> str | None:
    """The service of its own that a request to /soda names; None: a cutout."""
    found = _values(pairs, "SERVICE")
    if len(found) > 1:
        raise ParameterError(f"SERVICE is given {len(found)} times", hint="Give it once.")
    return found[0] if found else None


def dids_of(pairs: Pairs) -> list[str]:
    """The datasets a request names."""
    return _values(pairs, "ID")


def _values(pairs: Pairs, name: str) -> list[str]:
    return [value for key, value in pairs if key.upper() == name and value.strip()]


def _file_name(did: str) -> str:
    """A name for people to keep a product under: letters and digits of the dataset's own."""
    last = did.rpartition("/")[2][-80:]
    return "".join(char if char.isalnum() or char in "-_." else "_" for char in last).lstrip(".") or "product"
