"""Signing in and out in a browser: a token once, then a cookie that no script can read."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nilometer.pages import render_console

from .access import COOKIE, SESSION_SECONDS, Person, end_session, start_session
from .gate import address_of, guarded, in_thread, peer_of, read_fields
from .questions import AskedError, link
from .site import Site

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.routing import Route

__all__ = ["session_routes"]


def session_routes(site: Site) -> "list[Route]":
    """Routes of signing in and out."""
    from starlette.routing import Route

    signs = _Signs(site)
    return [
        Route("/login", guarded(site, "", signs.form, is_page=True)),
        Route("/login", guarded(site, "", signs.enter, is_page=True), methods=["POST"]),
        Route("/logout", guarded(site, "", signs.leave, is_page=True), methods=["POST"]),
    ]


class _Signs:
    """Handlers of signing in and out."""

    def __init__(self, site: Site) -> None:
        self._site = site

    async def form(self, request: "Request", who: Person) -> "Response":
        """Ask for a token."""
        return self._page(request.query_params.get("to", "/"), status=200, reason="")

    async def enter(self, request: "Request", who: Person) -> "Response":
        """Begin a session with a token and lead on to the page that was asked for."""
        from starlette.responses import RedirectResponse

        fields, _ = await read_fields(request)
        token, to = str(fields.get("token", "")).strip(), _inside(str(fields.get("to", "/")))
        person = self._site.access.holder(token, way="session")
        address = address_of(self._site, request)
        if not person.name:
            self._site.failures.note(address)
            await in_thread(lambda: self._note(address, "sign in failed"))
            return self._page(to, status=403, reason="This token is unknown, has expired or was taken back.")
        secret = await in_thread(
            lambda: self._site.write(person, "sign in", lambda own: start_session(own, token), detail=address)
        )
        response = RedirectResponse(to, 303)
        response.set_cookie(
            COOKIE,
            secret,
            max_age=SESSION_SECONDS,
            httponly=True,
            samesite="strict",
            secure=self._is_secure(request),
        )
        return response

    async def leave(self, request: "Request", who: Person) -> "Response":
        """End the session."""
        from starlette.responses import RedirectResponse

        if not who.name:
            raise AskedError(403, "this must come from a page of this server, by someone who is signed in.")
        headers = dict(request.headers)
        await in_thread(
            lambda: self._site.write(
                who, "sign out", lambda own: end_session(own, headers), detail=address_of(self._site, request)
            )
        )
        response = RedirectResponse("/login", 303)
        response.delete_cookie(COOKIE, httponly=True, samesite="strict", secure=self._is_secure(request))
        return response

    def _note(self, address: str, act: str) -> None:
        nobody = Person("(unknown)", frozenset(), "")
        self._site.write(nobody, act, lambda own: None, detail=address)

    def _is_secure(self, request: "Request") -> bool:
        is_behind = self._site.access.is_behind(dict(request.headers), peer_of(request))
        return request.url.scheme == "https" or (is_behind and request.headers.get("x-forwarded-proto") == "https")

    def _page(self, to: str, *, status: int, reason: str) -> "Response":
        from starlette.responses import Response

        text = render_console(
            "login.html",
            here="",
            who=Person("", frozenset(), ""),
            query=None,
            link=link,
            open_alerts=0,
            status=status,
            reason=reason,
            to=_inside(to),
            is_elsewhere=False,
        )
        return Response(text, status, media_type="text/html")


def _inside(to: str) -> str:
    r"""Address on this server; anything else becomes the first page.

    Examples
    --------
    >>> _inside("/slice?slice=a"), _inside("//evil.example"), _inside("https://evil.example"), _inside("/\\evil")
    ('/slice?slice=a', '/', '/', '/')
    """
    try:
        parts = urlsplit(to)
    except ValueError:
        return "/"
    is_own = not parts.scheme and not parts.netloc and to.startswith("/") and not to.startswith("//")
    return to if is_own and "\\" not in to and to.isprintable() and to.isascii() else "/"
