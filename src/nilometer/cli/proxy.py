"""``nilometer proxy``: the capture before a server that is no ASGI application."""

from pathlib import Path
from typing import Annotated

import typer

from .common import talk

__all__ = ["proxy"]


def proxy(
    upstream: Annotated[str, typer.Option(metavar="URL", help="The server, such as http://127.0.0.1:8080.")],
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on.")] = 8100,
    spool: Annotated[Path | None, typer.Option(help="Folder of the spool; else NILOMETER_SPOOL.")] = None,
) -> None:
    """Capture log-probabilities before llama.cpp, TGI or any OpenAI-compatible server.

    Everything else is set by the environment, as for the middleware: NILOMETER_K, NILOMETER_RATE, NILOMETER_SLICES,
    NILOMETER_TEXTS, NILOMETER_ABSENT and so on.
    """
    import os

    from nilometer.service import proxy_app, read_settings

    from .serving import run_app

    environment = dict(os.environ) | ({"NILOMETER_SPOOL": str(spool)} if spool else {})
    settings = read_settings(environment)
    talk(f"http://{host}:{port} passes to {upstream}; captures go to {settings.spool}.")
    run_app(proxy_app(upstream, settings), host=host, port=port)
