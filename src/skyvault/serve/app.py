"""The ASGI application: all protocols and pages of one data directory."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from skyvault.config import Settings
from skyvault.serve.account import Account
from skyvault.serve.account_elsewhere import AccountElsewhere
from skyvault.serve.authentication import Authentication
from skyvault.serve.dataset_vosi import DatasetVosi
from skyvault.serve.faults import exception_handlers, form_for_people
from skyvault.serve.hips import HipsService
from skyvault.serve.hook_products import HookProducts
from skyvault.serve.links import Links
from skyvault.serve.login_service import LoginService
from skyvault.serve.moc import MocService
from skyvault.serve.oai import Oai
from skyvault.serve.page_dataset import DatasetPages
from skyvault.serve.pages import Pages
from skyvault.serve.product_addresses import ProductAddresses
from skyvault.serve.product_files import ProductFiles
from skyvault.serve.rate_limit import RateLimit
from skyvault.serve.scs import ConeSearch
from skyvault.serve.service import Service
from skyvault.serve.sia1 import Sia1
from skyvault.serve.sia2 import Sia2
from skyvault.serve.soda import Soda
from skyvault.serve.ssa import Ssa
from skyvault.serve.tap import Tap
from skyvault.serve.user_pieces import PieceRoutes
from skyvault.serve.user_tables import UserTableRoutes
from skyvault.serve.user_tables_cadc import CadcRoutes
from skyvault.serve.vosi import Vosi


def create_app(settings: Settings | None = None) -> Starlette:
    """The application over the data directory the settings name. Each process makes its own."""
    service = Service(settings or Settings())
    tap = Tap(service)
    account = Account(service)
    elsewhere = _elsewhere(account)
    routes: list[BaseRoute] = [
        *tap.routes(),
        *_user_tables(service, tap),
        *Vosi(service).routes(),
        *account.routes(),
        *([] if elsewhere is None else elsewhere.routes()),
        *ConeSearch(service).routes(),
        *MocService(service).routes(),
        *HipsService(service).routes(),
        *Oai(service).routes(),
        *_datasets(service),
        *Pages(service).routes(),
    ]

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        service.start()
        try:
            yield
        finally:
            tap.uws.close()
            if elsewhere is not None:
                elsewhere.close()
            service.close()

    app = Starlette(
        routes=routes,
        lifespan=lifespan,
        middleware=[
            # anonymous reading from any page (architecture, decision 15)
            Middleware(
                CORSMiddleware,
                allow_origins=["*"],
                allow_methods=["GET", "POST", "HEAD", "OPTIONS"],
                expose_headers=["X-Skyvault-Overflow", "Location", "X-VO-Authenticated"],
            ),
            Middleware(RateLimit, per_minute=service.settings.requests_per_minute, workers=service.settings.workers),
            Middleware(Authentication, accounts=service.accounts, base_url=service.settings.base_url),
        ],
        exception_handlers=exception_handlers(form_for_people),
    )
    app.state.service = service
    return app


def _elsewhere(account: Account) -> AccountElsewhere | None:
    """Logging in by a login service elsewhere, where the operator has named one."""
    settings = account.service.settings
    if settings.oidc_issuer is None and settings.oidc_client_id is None:
        return None
    return AccountElsewhere(account, LoginService(settings))


def _datasets(service: Service) -> list[BaseRoute]:
    """Searches for datasets, their links, their files, and cutouts of them."""
    addresses = ProductAddresses(service.accounts.keys)
    hooks = HookProducts(service, addresses)
    service.closing.append(hooks.close)
    return [
        *DatasetVosi(service).routes(),
        *Sia1(service, addresses).routes(),
        *Sia2(service).routes(),
        *Ssa(service, addresses).routes(),
        *Links(service, addresses).routes(),
        *Soda(service, addresses, hooks).routes(),
        *ProductFiles(service, addresses, hooks).routes(),
        *DatasetPages(service, addresses).routes(),
    ]


def _user_tables(service: Service, tap: Tap) -> list[BaseRoute]:
    """The resources of users' own tables; none where they may not keep any."""
    if service.user_rules is None:
        return []
    user_tables = UserTableRoutes(service, service.user_rules)
    pieces = PieceRoutes(service, service.user_rules)
    return [*user_tables.routes(), *pieces.routes(), *CadcRoutes(user_tables, tap.uws).routes()]
