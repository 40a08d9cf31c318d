"""A login service that speaks OpenID Connect over a real socket, and can be told to do it wrong."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlencode, urlsplit

CLIENT, SECRET = "skyvault at tests", "s&cret: of the client"


@dataclass
class Provider:
    """Who is logged in there (``person``), and the faults it shall have."""

    person: dict[str, Any] = field(default_factory=lambda: {"sub": "248289761001", "preferred_username": "j.doe"})
    #: claims that replace the right ones (None: left out)
    wrong: dict[str, Any] = field(default_factory=dict)
    #: fields of its description that replace the right ones
    described: dict[str, Any] = field(default_factory=dict)
    #: how an id_token is signed: "RS256", "none", "HS256" with the public key as a secret, "other" key
    signed: str = "RS256"
    denies: bool = False
    #: the client has no secret, and says its name in the form
    is_public: bool = False
    status: int = 200
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.codes: dict[str, dict[str, str]] = {}
        self.rotate()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.answer(self)

            do_POST = do_GET

            def log_message(self, *_: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/realm"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def reset(self) -> None:
        self.person = {"sub": "248289761001", "preferred_username": "j.doe"}
        self.wrong, self.described, self.signed, self.denies, self.status, self.is_public = (
            {},
            {},
            "RS256",
            False,
            200,
            False,
        )

    def rotate(self) -> None:
        """Another key from now on; the old one is gone."""
        from joserfc.jwk import RSAKey

        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})

    # -- what it answers -----------------------------------------------------------------------------------------

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(request.path)
        self.seen.append(f"{request.command} {parts.path}")
        length = int(request.headers.get("content-length") or 0)
        body = request.rfile.read(length).decode()
        base = self.issuer
        if self.status != 200:
            return self._json(request, {"error": "server_error"}, self.status)
        if parts.path.endswith("/.well-known/openid-configuration"):
            return self._json(
                request,
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "jwks_uri": f"{base}/keys",
                    "response_types_supported": ["code"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                    "token_endpoint_auth_methods_supported": ["client_secret_basic"],
                }
                | self.described,
            )
        if parts.path.endswith("/keys"):
            return self._json(request, {"keys": [self.key.as_dict(private=False)]})
        if parts.path.endswith("/authorize"):
            return self._authorize(request, dict(parse_qsl(parts.query)))
        if parts.path.endswith("/token"):
            return self._token(request, {name: values[0] for name, values in parse_qs(body).items()})
        return self._json(request, {"error": "not_found"}, 404)

    def _authorize(self, request: BaseHTTPRequestHandler, asked: dict[str, str]) -> None:
        assert asked["response_type"] == "code" and "openid" in asked["scope"].split()
        assert asked["client_id"] == CLIENT and asked["code_challenge_method"] == "S256"
        back: dict[str, str] = {"state": asked["state"], "iss": self.issuer}
        if self.denies:
            back["error"] = "access_denied"
        else:
            back["code"] = secrets.token_urlsafe(16)
            self.codes[back["code"]] = asked
        request.send_response(302)
        request.send_header("Location", f"{asked['redirect_uri']}?{urlencode(back)}")
        request.send_header("Content-Length", "0")
        request.end_headers()

    def _token(self, request: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        pair = base64.b64decode(request.headers.get("authorization", "Basic Og==").split()[1]).decode()
        known = [form.get("client_id")] if self.is_public else [unquote(part) for part in pair.split(":")]
        if known != ([CLIENT] if self.is_public else [CLIENT, SECRET]):
            return self._json(request, {"error": "invalid_client"}, 401)
        asked = self.codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if (
            asked is None
            or form["grant_type"] != "authorization_code"
            or form["redirect_uri"] != asked["redirect_uri"]
            or challenge != asked["code_challenge"]
        ):
            return self._json(request, {"error": "invalid_grant"}, 400)
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"]}
        claims |= self.person | self.wrong
        claims = {name: value for name, value in claims.items() if value is not None}
        return self._json(request, {"access_token": "x", "token_type": "Bearer", "id_token": self._signed(claims)})

    def _signed(self, claims: dict[str, Any]) -> str:
        from joserfc import jwt
        from joserfc.jwk import RSAKey

        if self.signed == "none":
            parts = [json.dumps(part).encode() for part in ({"alg": "none"}, claims)]
            return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + "."
        header = {"alg": "RS256", "kid": self.key.kid}
        if self.signed == "HS256":
            import hmac

            # the public key is known to everybody: taken for a shared secret, anybody could sign
            head = {"alg": "HS256", "kid": self.key.kid}
            parts = [json.dumps(part).encode() for part in (head, claims)]
            text = ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)
            mac = hmac.digest(self.key.as_pem(private=False), text.encode(), "sha256")
            return f"{text}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"
        key = RSAKey.generate_key(2048, {"kid": str(self.key.kid)}) if self.signed == "other" else self.key
        return jwt.encode(header, claims, key)

    @staticmethod
    def _json(request: BaseHTTPRequestHandler, content: Any, status: int = 200) -> None:
        body = json.dumps(content).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)
