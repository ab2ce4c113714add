"""Running an ASGI application until it is interrupted."""

from typing import Any

from nilometer.errors import ConfigError

__all__ = ["run_app"]


def run_app(app: Any, *, host: str, port: int) -> None:
    """Serve until interrupted.

    Raises
    ------
    ConfigError
        If the extra is missing.
    """
    try:
        import uvicorn
    except ImportError as exc:
        raise ConfigError("serving needs more packages. Install `nilometer[serve]`.") from exc
    uvicorn.run(app, host=host, port=port, log_level="info", access_log=False, server_header=False, date_header=False)
