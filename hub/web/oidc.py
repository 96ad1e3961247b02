"""Sign-in by 统一身份认证: OIDC, code flow with PKCE, through authlib (console 6).

Decides what must hold before an identity is believed: our own state, nonce and verifier, a signature of the provider's
keys, issuer, audience, time. Who that is here is a binding an administrator made; nobody comes in
unbound.
State, nonce and verifier are derived from one random cookie, so that nothing is kept before there is a session.
"""

from __future__ import annotations

import hashlib
import hmac
import warnings
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import urlencode

import httpx
import sqlalchemy as sa
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet
from starlette.responses import Response

from hub.audit import Event, Result, append
from hub.errors import HubError, PeerUnreachableError
from hub.settings import WebSettings
from hub.store.web_tables import WEB_ACCOUNT
from hub.web.ask import Ask
from hub.web.refusals import not_here
from hub.web.section import EVERYONE, Section
from hub.web.signin import back_to, begin, show
from hub.web.site import Site

with warnings.catch_warnings():  # authlib announces a successor of httpx at every import, and insists on being heard
    import authlib.deprecate

    warnings.simplefilter("ignore", authlib.deprecate.AuthlibDeprecationWarning)
    from authlib.common.errors import AuthlibBaseError
    from authlib.integrations.httpx_client import OAuth2Client
    from authlib.oidc.core import CodeIDToken

section: Final = Section("oidc", "hub.web")
ALGORITHMS: Final = ("RS256", "PS256", "ES256", "EdDSA")
LEEWAY: Final = 120
SECONDS: Final = 10.0
# How long the provider's metadata and keys are believed without asking again.
_FRESH: Final = timedelta(minutes=15)
_TURN: Final = timedelta(minutes=10)


@dataclass(frozen=True)
class Provider:
    """What the issuer says of itself, and its keys. `read`: when."""

    metadata: dict[str, Any]
    keys: Any
    read: datetime


_known: dict[str, Provider] = {}


class IdentityError(HubError):
    """The provider's answer does not hold; nobody was signed in."""

    status = 403


@section.get("/oidc/start", allow=EVERYONE)
def start(ask: Ask) -> Response:
    """Sends the browser to the provider with state, nonce and code challenge."""
    web = _settings(ask.site)
    found = provider(web.oidc_issuer, ask.at)
    secret = ask.site.rng(32).hex()
    with _client(ask.site) as client:
        url, _state = client.create_authorization_url(
            found.metadata["authorization_endpoint"], state=_derived(secret, "state"), nonce=_derived(secret, "nonce"),
            code_verifier=_derived(secret, "verifier"),
        )  # fmt: skip
    answer = ask.go(url)
    value = secret + "." + back_to(ask.query("next")).encode().hex()
    answer.set_cookie(
        _cookie(ask.site), value, max_age=int(_TURN.total_seconds()), httponly=True, samesite="lax",
        secure=ask.site.secure, path="/oidc",
    )  # fmt: skip
    return answer


@section.get("/oidc/back", allow=EVERYONE)
def back(ask: Ask) -> Response:
    """The provider's answer: verified, or a sentence why not."""
    site = ask.site
    secret, _, where = ask.request.cookies.get(_cookie(site), "").partition(".")
    try:
        if not secret or not hmac.compare_digest(ask.query("state"), _derived(secret, "state")):
            raise IdentityError("E1901", "登录过程已过期，或不是从本页面开始的", step="重新登录")
        if ask.query("error"):
            raise IdentityError("E1902", "统一身份认证没有完成登录", step="重新登录，或使用本地账号")
        subject = _subject(ask, secret)
        name = _account(ask, subject)
    except IdentityError as error:
        _note(ask, error.code)
        answer = show(ask, note=f"{error.what}。{error.step}", status=403)
    else:
        answer = begin(ask, name, back_to(_unhexed(where)), via="oidc")
    answer.delete_cookie(_cookie(site), path="/oidc", httponly=True, samesite="lax", secure=site.secure)
    return answer


@section.get("/oidc/end", allow=EVERYONE)
def end(ask: Ask) -> Response:
    """Ends the session at the provider as well, at the address its metadata names; without one, the sign-in page."""
    web = _settings(ask.site)
    endpoint = provider(web.oidc_issuer, ask.at).metadata.get("end_session_endpoint")
    if not endpoint:
        return ask.go("/signin", note="out")
    # The identity token stays here: it holds the person's claims, and addresses hold none.
    query = {"client_id": web.oidc_client, "post_logout_redirect_uri": f"{ask.site.address}/signin"}
    return ask.go(f"{endpoint}?{urlencode(query)}")


def _unhexed(text: str) -> str:
    """The address a cookie of ours carries; empty for one that somebody wrote into it."""
    try:
        return bytes.fromhex(text).decode()
    except ValueError:
        return ""


def provider(issuer: str, at: datetime) -> Provider:
    """Metadata and keys of the issuer, asked anew after a while. Raises `PeerUnreachableError` E1903."""
    known = _known.get(issuer)
    if known is not None and timedelta() <= at - known.read < _FRESH:
        return known
    try:
        with httpx.Client(timeout=SECONDS, trust_env=False) as client:
            metadata = client.get(f"{issuer.rstrip('/')}/.well-known/openid-configuration").raise_for_status().json()
            keys = client.get(metadata["jwks_uri"]).raise_for_status().json()
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise PeerUnreachableError("E1903", "统一身份认证没有应答", step="稍后重试，或使用本地账号登录") from error
    if metadata.get("issuer") != issuer:
        raise IdentityError(
            "E1904", "统一身份认证的签发者与设置不符", where="oidc_issuer", step="核对 hub.toml 的 [web]"
        )
    _known[issuer] = Provider(metadata, keys, at)
    return _known[issuer]


def verified(token: str, found: Provider, web: WebSettings, *, nonce: str, at: datetime) -> str:
    """The subject of an identity token; raises `IdentityError` E1905 when anything of it does not hold."""
    options = {"iss": {"values": [web.oidc_issuer]}, "aud": {"values": [web.oidc_client]}}
    params = {"nonce": nonce, "client_id": web.oidc_client}
    try:
        decoded = jwt.decode(token, KeySet.import_key_set(found.keys), algorithms=list(ALGORITHMS))
        claims = CodeIDToken(decoded.claims, decoded.header, options, params)
        claims.validate(now=int(at.timestamp()), leeway=LEEWAY)
        subject = claims["sub"]
    except (JoseError, AuthlibBaseError, ValueError, KeyError) as error:
        raise IdentityError("E1905", "统一身份认证的应答未通过验证", step="重新登录；仍不行请联系系统管理员") from error
    if not isinstance(subject, str) or not 0 < len(subject) <= 255:
        raise IdentityError("E1905", "统一身份认证的应答未通过验证", step="重新登录；仍不行请联系系统管理员")
    return subject


def _subject(ask: Ask, secret: str) -> str:
    """Exchanges the code and verifies what came for it."""
    web = _settings(ask.site)
    found = provider(web.oidc_issuer, ask.at)
    try:
        with _client(ask.site) as client:
            token = client.fetch_token(
                found.metadata["token_endpoint"], code=ask.query("code"), code_verifier=_derived(secret, "verifier"),
                grant_type="authorization_code",
            )  # fmt: skip
    except (AuthlibBaseError, httpx.HTTPError, ValueError) as error:
        raise IdentityError("E1902", "统一身份认证没有完成登录", step="重新登录，或使用本地账号") from error
    given, nonce = str(token.get("id_token", "")), _derived(secret, "nonce")
    try:
        return verified(given, found, web, nonce=nonce, at=ask.at)
    except IdentityError:  # its keys may have changed since they were read
        _known.pop(web.oidc_issuer, None)
        return verified(given, provider(web.oidc_issuer, ask.at), web, nonce=nonce, at=ask.at)


def _account(ask: Ask, subject: str) -> str:
    wanted = f"{ask.site.node.settings.web.oidc_issuer} {subject}"
    with ask.site.store.reading() as reader:
        query = sa.select(WEB_ACCOUNT.c.name).where(WEB_ACCOUNT.c.subject == wanted)
        name = reader.connection.execute(query).scalar_one_or_none()
    if name is None:
        contact = ask.site.node.settings.web.contact
        step = "请联系系统管理员" + (f"（{contact}）" if contact else "") + "绑定账号"
        raise IdentityError("E1906", "您的统一身份还没有绑定本系统的账号", step=step)
    return str(name)


def _note(ask: Ask, code: str) -> None:
    """A failed sign-in is audited; who it was is not known, and nothing of the answer is written."""
    with ask.site.store.begin() as tx:
        append(
            tx.connection, Event.SIGN_IN_FAILED, ts=ask.at, node=ask.site.party, actor="未知账号",
            result=Result.REFUSED, detail={"address": ask.source, "via": "oidc", "code": code},
        )  # fmt: skip


def _client(site: Site) -> Any:
    """An OAuth client of authlib; with a secret it proves itself by it, without one by the verifier alone."""
    web = _settings(site)
    secret = (site.node.folder / web.oidc_secret).read_text(encoding="utf-8").strip() if web.oidc_secret else None
    return OAuth2Client(
        web.oidc_client, secret, scope="openid", redirect_uri=f"{site.address}/oidc/back",
        code_challenge_method="S256", token_endpoint_auth_method="client_secret_basic" if secret else "none",
        timeout=SECONDS, trust_env=False,
    )  # fmt: skip


def _settings(site: Site) -> WebSettings:
    web = site.node.settings.web
    if not web.oidc_issuer or not web.oidc_client:
        raise not_here("本节点没有接入统一身份认证")
    return web


def _cookie(site: Site) -> str:
    return f"{site.cookie}_oidc"


def _derived(secret: str, what: str) -> str:
    return hashlib.sha256(f"{what}:{secret}".encode()).hexdigest()
