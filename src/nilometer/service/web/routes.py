"""The table of pages and acts: the application, its description as OpenAPI and the tests are made from it."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

from .answers import ANSWER_VIEW
from .api import API_VIEWS
from .labelling import LABEL_ACTS, LABEL_VIEWS
from .overview import OVERVIEW
from .site import Act, View
from .slices import SLICE_VIEW
from .state import STATE_ACTS, STATE_VIEWS

__all__ = ["ACTS", "VIEWS", "describe"]

VIEWS: tuple[View, ...] = (OVERVIEW, SLICE_VIEW, ANSWER_VIEW, *STATE_VIEWS, *LABEL_VIEWS, *API_VIEWS)
"""Everything that can be read."""

ACTS: tuple[Act, ...] = (*STATE_ACTS, *LABEL_ACTS)
"""Everything that can be written by a form or a script of a page."""

_STATUSES = {
    "400": "a parameter or the body breaks its rule",
    "401": "no token",
    "403": "a token without the right",
    "404": "nothing of this name",
    "413": "too long",
    "429": "too many wrong tokens",
}


def describe(views: Sequence[View], acts: Sequence[Act]) -> dict[str, Any]:
    """Return the document of OpenAPI 3.1."""
    paths: dict[str, dict[str, Any]] = {
        f"/api/{view.api}": {
            "get": _operation(view.about, view.right, {"parameters": [one.schema() for one in view.parameters]})
        }
        for view in views
    }
    for act in acts:
        paths[act.path] = {"post": _operation(act.about, act.right, {"requestBody": _body(act)})}
    paths["/v1/labels"] = {
        "post": _operation("Append labels.", "label", {"requestBody": _any("application/json", "text/csv")})
    }
    paths["/v1/traces"] = {
        "post": _operation("Append traces of any known format.", "ingest", {"requestBody": _any("application/json")})
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "nilometer", "version": version("nilometer")},
        "paths": paths,
        "security": [{"token": []}, {}],
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
    }


def _operation(about: str, right: str, rest: dict[str, Any]) -> dict[str, Any]:
    answers = {"200": {"description": "what was asked for", "content": {"application/json": {"schema": {}}}}}
    refused = {
        status: {"description": why, "content": {"application/json": {"schema": {"type": "object"}}}}
        for status, why in _STATUSES.items()
    }
    return {
        "summary": about,
        "description": f"Needs the right to {right}.",
        **rest,
        "responses": {**answers, **refused},
    }


def _body(act: Act) -> dict[str, Any]:
    properties = {name: {"description": about} for name, about in act.fields}
    return {"required": True, "content": {"application/json": {"schema": {"type": "object", "properties": properties}}}}


def _any(*kinds: str) -> dict[str, Any]:
    return {"required": True, "content": {kind: {"schema": {}} for kind in kinds}}
