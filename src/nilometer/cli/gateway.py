"""``nilometer gateway``: one OpenAI-compatible address before several models."""

from contextlib import closing
from pathlib import Path
from typing import Annotated

import typer

from .common import HostOption, talk

__all__ = ["gateway"]


def gateway(
    config: Annotated[Path, typer.Argument(metavar="FILE", help="Models, router and budgets, as TOML.")],
    host: HostOption = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8300,
) -> None:
    """Answer for several models: routed, in a cascade, by vote, decided for a metric, or by name.

    POST /v1/chat/completions with "model": "nilometer/route", "nilometer/cascade", "nilometer/vote",
    "nilometer/decide:METRIC" or the name of a model; GET /v1/models, /healthz and /api/gateway. A model that fails is
    replaced by the next; headers of the answer say which one answered and why.
    """
    import os

    from nilometer.errors import ConfigError
    from nilometer.service import Access, Gateway, gateway_app, open_database, read_gateway_config, read_settings

    from .serving import run_app

    given = read_gateway_config(config)
    folder = None if given.folder is None else Path(given.folder)
    if folder is not None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    settings = None if folder is None else read_settings({"NILOMETER_SPOOL": str(folder / "spool"), **os.environ})
    with closing(open_database(Path(":memory:") if folder is None else folder / "nilometer.db")) as tokens:
        try:
            access = Access(tokens, host=host)
        except ConfigError as exc:
            kept = str(exc).replace("--role read", "--role ask").replace("DIR", str(folder or "DIR"))
            raise ConfigError(kept) from exc
        app = gateway_app(Gateway(given, settings), access)
        names = ", ".join(model.name for model in given.models)
        where = "nothing is captured" if settings is None else f"answers are captured to {settings.spool}"
        talk(f"http://{host}:{port}/v1 answers for {names}; {where}.")
        run_app(app, host=host, port=port)
