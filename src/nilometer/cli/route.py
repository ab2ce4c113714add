"""``nilometer route``: which of several models to ask, from how their answers agree."""

import typer

from .routes.eval import route_eval
from .routes.explain import route_explain
from .routes.fit import route_fit

__all__ = ["route"]

route = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)
"""The verbs under ``nilometer route``."""


@route.callback()
def _route() -> None:
    """Which of several models to ask, from how their answers agree.

    Files hold traces of several models that answered the same prompts, or one prompt a line with `outputs`
    by model.
    """


route.command("fit")(route_fit)
route.command("eval")(route_eval)
route.command("explain")(route_explain)
