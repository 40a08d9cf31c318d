"""A login service elsewhere, as this service is its client: OpenID Connect, authorization code flow with PKCE.

What is checked, and why: OpenID Connect Core 1.0 section 3.1.3.7 (the id_token), Discovery 1.0 section 4.3 (the issuer
says the same of itself), RFC 7636 (PKCE, S256), RFC 9207 (who answers), RFC 9700 section 4 (attacks on all of it).
Signatures are joserfc's business (the extra ``oidc``).
"""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import secrets
import stat
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from skyvault.config import Secret
from skyvault.errors import ConfigError, Forbidden, SkyvaultError, TransientError

if TYPE_CHECKING:
    from skyvault.config import Settings
    from skyvault.net.client import HttpClient

#: signatures by a key that only the login service has; none and the shared-secret ones (HS...) are not among them
ALGORITHMS: Final = (
    "RS256",
    "RS384",
    "RS512",
    "PS256",
    "PS384",
    "PS512",
    "ES256",
    "ES384",
    "ES512",
    "EdDSA",
    "Ed25519",
)
_KEY_TYPES: Final = ("RSA", "EC", "OKP")
#: what the service says of itself is asked for again after so long
DESCRIPTION_S = 3600.0
#: difference of two clocks
LEEWAY_S = 60.0
TIME_S = 15.0
MOST_BYTES = 512_000
_TOO_LONG = 2000


class LoginFailed(Forbidden):
    """The login service elsewhere did not vouch for anybody."""


@dataclass(frozen=True, slots=True)
class Person:
    """Whom the login service vouches for: ``subject`` never changes, ``name`` is only what they would be called."""

    issuer: str
    subject: str
    name: str | None


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login under way, known to one browser only: what must come back, and what proves that it is the same."""

    state: str
    nonce: str
    verifier: str

    @classmethod
    def new(cls) -> Attempt:
        return cls(secrets.token_urlsafe(24), secrets.token_urlsafe(24), secrets.token_urlsafe(48))


class LoginService:
    """The login service of the settings. Safe to use from several threads; ``clock`` gives seconds since 1970.

    Raises ConfigError when settings are missing, a secret may be read by others, or the extra is not installed.
    """

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.time) -> None:
        from skyvault.net.auth import is_private_way

        if settings.oidc_issuer is None or settings.oidc_client_id is None:
            raise ConfigError("oidc_issuer and oidc_client_id belong together", where="settings")
        if not is_private_way(settings.oidc_issuer):
            raise ConfigError("oidc_issuer must be an https address", where="settings")
        if importlib.util.find_spec("joserfc") is None:
            raise ConfigError("OpenID Connect needs more packages", hint="Install them: pip install 'skyvault[oidc]'.")
        self.issuer = settings.oidc_issuer
        self.title = settings.oidc_title
        self._client_id = settings.oidc_client_id
        self._secret = _client_secret(settings)
        self._clock = clock
        self._lock = threading.Lock()
        self._http: HttpClient | None = None
        self._description: tuple[float, dict[str, Any]] | None = None
        self._keys: list[dict[str, Any]] | None = None

    def close(self) -> None:
        with self._lock:
            if self._http is not None:
                self._http.close()

    def address(self, attempt: Attempt, back: str) -> str:
        """Where a browser is sent to log in; it comes back to ``back``. Raises TransientError."""
        described = self._described()
        digest = hashlib.sha256(attempt.verifier.encode("ascii")).digest()
        asked = {
            "response_type": "code",
            "client_id": self._client_id,
            "redirect_uri": back,
            "scope": "openid profile",
            "state": attempt.state,
            "nonce": attempt.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        endpoint = str(described["authorization_endpoint"])
        return f"{endpoint}{'&' if '?' in endpoint else '?'}{urlencode(asked)}"

    def person(self, attempt: Attempt, answer: Mapping[str, str], back: str) -> Person:
        """Who came back with ``answer``, the parameters of the address the browser was sent to.

        Raises LoginFailed when nobody is vouched for, TransientError when the login service does not answer.
        """
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise LoginFailed("this answer belongs to another login", hint="Log in again.")
        if answer.get("iss", self.issuer).rstrip("/") != self.issuer.rstrip("/"):
            raise LoginFailed("this answer comes from another login service", hint="Log in again.")
        if "error" in answer:
            # its words may be anybody's: only those of the standard are told on
            told = {"access_denied": "it was refused there", "login_required": "nobody logged in there"}
            why = told.get(answer["error"], "the login service reports an error")
            raise LoginFailed(f"the login did not succeed: {why}", hint="Log in again.")
        code = answer.get("code", "")
        if not code or len(code) > _TOO_LONG:
            raise LoginFailed("the login service sent no code", hint="Log in again.")
        described = self._described()
        got = self._exchanged(described, code, attempt, back)
        if not isinstance(got.get("id_token"), str):
            raise LoginFailed("the login service does not say who this is")
        claims = self._verified(described, got["id_token"])
        self._check(claims, described, attempt)
        name = claims.get("preferred_username")
        return Person(self.issuer, claims["sub"], name if isinstance(name, str) else None)

    # -- inside --------------------------------------------------------------------------------------------------

    def _described(self) -> dict[str, Any]:
        """What the login service says of itself (Discovery 1.0, section 4)."""
        with self._lock:
            kept = self._description
        if kept is not None and self._clock() < kept[0] + DESCRIPTION_S:
            return kept[1]
        url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
        try:
            found = self._json("GET", url)
        except TransientError:
            if kept is None:
                raise
            return kept[1]
        if str(found.get("issuer", "")).rstrip("/") != self.issuer.rstrip("/"):
            raise _wrong("it says that it is another")
        from skyvault.net.auth import is_private_way

        for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
            place = found.get(name)
            if not isinstance(place, str) or not place.startswith(("https://", "http://")) or not is_private_way(place):
                raise _wrong(f"its {name} is no https address")
        with self._lock:
            self._description = (self._clock(), found)
        return found

    def _exchanged(self, described: Mapping[str, Any], code: str, attempt: Attempt, back: str) -> dict[str, Any]:
        """What the code is worth (RFC 6749, section 4.1.3)."""
        from skyvault.net.auth import Password

        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": back,
            "code_verifier": attempt.verifier,
        }
        credential = None
        methods = described.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        if self._secret is None:
            form["client_id"] = self._client_id
        elif "client_secret_basic" in methods or "client_secret_post" not in methods:
            # both parts are encoded as in a form first (RFC 6749, section 2.3.1)
            secret = Secret(quote(self._secret.reveal(), safe=""))
            credential = Password(quote(self._client_id, safe=""), secret)
        else:
            form |= {"client_id": self._client_id, "client_secret": self._secret.reveal()}
        return self._json("POST", str(described["token_endpoint"]), data=form, credential=credential)

    def _verified(self, described: Mapping[str, Any], text: str) -> dict[str, Any]:
        """The claims of a token that one of the login service's keys has signed."""
        from joserfc import jws, jwt
        from joserfc.errors import JoseError
        from joserfc.jwk import KeySet

        offered = described.get("id_token_signing_alg_values_supported")
        allowed = [one for one in ALGORITHMS if not isinstance(offered, list) or one in offered]
        with self._lock:
            keys, is_kept = self._keys, self._keys is not None
        while True:
            if keys is None:
                found = self._json("GET", str(described["jwks_uri"])).get("keys")
                keys = [one for one in found if _is_public(one)] if isinstance(found, list) else []
                with self._lock:
                    self._keys = keys
            try:
                registry = jws.JWSRegistry(algorithms=allowed)
                token = jwt.decode(text, KeySet.import_key_set({"keys": keys}), allowed, registry)
            except (JoseError, ValueError, TypeError, KeyError) as error:
                if is_kept:
                    # keys change: those of today are asked for once
                    keys, is_kept = None, False
                    continue
                raise LoginFailed(
                    f"the login service's signature is not right ({type(error).__name__})", hint="Tell the operator."
                ) from None
            return token.claims

    def _check(self, claims: Mapping[str, Any], described: Mapping[str, Any], attempt: Attempt) -> None:
        audience = claims.get("aud")
        audiences = audience if isinstance(audience, list) else [audience]
        now = self._clock()
        good = {
            "issuer": claims.get("iss") == described["issuer"],
            "audience": self._client_id in audiences,
            "party": claims.get("azp", self._client_id) == self._client_id and (len(audiences) == 1 or "azp" in claims),
            "end": _is_number(claims.get("exp")) and claims["exp"] > now - LEEWAY_S,
            "beginning": _is_number(claims.get("iat")) and claims["iat"] < now + LEEWAY_S,
            "validity": "nbf" not in claims or (_is_number(claims["nbf"]) and claims["nbf"] < now + LEEWAY_S),
            "nonce": secrets.compare_digest(str(claims.get("nonce")).encode(), attempt.nonce.encode()),
            "subject": isinstance(claims.get("sub"), str) and 0 < len(claims["sub"]) <= 255,
        }
        for what, is_good in good.items():
            if not is_good:
                raise LoginFailed(f"the login service's token has a wrong {what}", hint="Log in again.")

    def _json(self, method: str, url: str, **how: Any) -> dict[str, Any]:
        from skyvault.net.client import Deadlines, HttpClient
        from skyvault.net.faults import Refused
        from skyvault.net.retry import RetryPolicy

        with self._lock:
            if self._http is None:
                self._http = HttpClient(
                    retries=RetryPolicy(attempts=2, base_s=0.2, patience_s=1.0),
                    deadlines=Deadlines(connect_s=5.0, read_s=10.0, total_s=TIME_S),
                )
            http = self._http
        try:
            body = http.request(method, url, headers={"Accept": "application/json"}, limit_bytes=MOST_BYTES, **how).body
            found = json.loads(body)
        except TransientError:
            raise TransientError("the login service does not answer", hint="Try again in a minute.") from None
        except Refused:
            raise LoginFailed("the login service refuses this service", hint="Tell the operator.") from None
        except SkyvaultError:
            # a code that is too old, or was used before
            if method == "POST":
                raise LoginFailed("the login service refuses the code", hint="Log in again.") from None
            raise TransientError("the login service does not answer as it should", hint="Tell the operator.") from None
        except (ValueError, RecursionError):
            raise _wrong("its answer is no JSON") from None
        if not isinstance(found, dict):
            raise _wrong("its answer is no JSON object")
        return found

    def __repr__(self) -> str:
        return f"LoginService({self.issuer!r})"


def _client_secret(settings: Settings) -> Secret | None:
    """What this service proves itself with to the login service; None for a public client."""
    path = settings.oidc_client_secret_file
    if path is None:
        return None
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                "others may read the client secret of OpenID Connect", where=str(path), hint=f"Run: chmod 600 {path}"
            )
        text = path.read_text(encoding="utf-8")[:10_000].strip()
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "not text"
        raise ConfigError(f"the client secret of OpenID Connect cannot be read: {why}", where=str(path)) from None
    if not text:
        raise ConfigError("the file of the client secret of OpenID Connect is empty", where=str(path))
    return Secret(text)


def _is_public(key: Any) -> bool:
    return isinstance(key, dict) and key.get("kty") in _KEY_TYPES and key.get("use", "sig") == "sig"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _wrong(why: str) -> TransientError:
    return TransientError(f"the login service is not as it should be: {why}", hint="Tell the operator.")
