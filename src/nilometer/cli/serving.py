"""Running an ASGI application until it is interrupted."""

from pathlib import Path
from typing import Any

from nilometer.errors import ConfigError

__all__ = ["run_app"]


def run_app(app: Any, *, host: str, port: int, tls: tuple[Path | None, Path | None] = (None, None)) -> None:
    """Serve until interrupted, by https where there are a certificate and a key.

    Nothing that a request says of its origin is believed here; a trusted proxy is checked by its secret.

    Raises
    ------
    ConfigError
        If the extra is missing, or only one of certificate and key is given, or one is not there.
    """
    if (tls[0] is None) != (tls[1] is None):
        raise ConfigError("`--tls-cert` and `--tls-key` must be given together.")
    for file in tls:
        if file is not None and not file.is_file():
            raise ConfigError(f"{file}: there is no such file.")
    try:
        import uvicorn
    except ImportError as exc:
        raise ConfigError("serving needs more packages. Install `nilometer[serve]`.") from exc
    quiet: dict[str, Any] = {"log_level": "info", "access_log": False, "server_header": False, "date_header": False}
    uvicorn.run(app, host=host, port=port, proxy_headers=False, ssl_certfile=tls[0], ssl_keyfile=tls[1], **quiet)
