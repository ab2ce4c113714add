"""Capture in LiteLLM's proxy: by the hooks that see whole answers and streams; its log loses log-probabilities."""

from collections.abc import AsyncIterator, Mapping
from typing import Any

import msgspec

from nilometer.errors import ConfigError

from .frames import Frame
from .recorder import OpenRequests, Recorder
from .requests import Asked, read_request
from .settings import Settings

__all__ = ["litellm_logger"]

_CHAT = ("completion", "acompletion")
_TEXT = ("text_completion", "atext_completion")
_FIELDS = (
    "model",
    "messages",
    "prompt",
    "stream",
    "logprobs",
    "top_logprobs",
    "temperature",
    "echo",
    "best_of",
    "metadata",
)
_REFUSED = (400, 422)


def litellm_logger(settings: Settings | None = None) -> Any:
    """Make a ``CustomLogger`` for LiteLLM's proxy that captures chat and text completions, whole and streamed.

    Put ``capture = litellm_logger()`` into ``nilometer_capture.py`` beside LiteLLM's ``config.yaml``, and there
    ``litellm_settings: {callbacks: [nilometer_capture.capture]}``. Log-probabilities are asked for where LiteLLM knows
    that every deployment of the model takes them, and taken out of the answer again. A deployment that refuses them all
    the same fails that request, and its model is not asked for ten minutes.

    Parameters
    ----------
    settings
        None reads the environment.

    Raises
    ------
    ConfigError
        If LiteLLM is not installed, or the environment holds a value outside its range.
    """
    try:
        from litellm.integrations.custom_logger import CustomLogger
    except ImportError as exc:
        raise ConfigError("capturing in LiteLLM needs the package `litellm`. Install it.") from exc
    hooks = {name: getattr(_Hooks, name) for name in vars(_Hooks) if name.startswith("async_")}
    return type("NilometerCapture", (_Hooks, CustomLogger), hooks)(Recorder(settings))


class _Hooks:
    """Hooks that LiteLLM calls by keyword, so the names of their arguments are its own."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.spool = recorder.spool
        self._recorder = recorder
        self._open: OpenRequests[tuple[Frame, bool]] = OpenRequests()

    async def async_pre_call_hook(
        self, user_api_key_dict: Any, cache: Any, *, data: dict[str, Any], call_type: str
    ) -> dict[str, Any]:
        """Ask for log-probabilities, and remember the request."""
        call, asked = data.get("litellm_call_id"), _asked(data, call_type)
        if asked is None or not isinstance(call, str):
            return data
        recorder = self._recorder
        frame = recorder.frame(asked, _headers(data))
        injects = recorder.may_ask(asked, frame) and _takes_logprobs(asked.model)
        if injects:
            frame.k = recorder.settings.k
            data.update(msgspec.json.decode(asked.with_logprobs(frame.k), type=_Added).given(asked.api))
        self._open.put(call, (frame, injects))
        return data

    async def async_post_call_success_hook(self, data: dict[str, Any], user_api_key_dict: Any, response: Any) -> Any:
        """Spool a whole answer, and take out what the client did not ask for."""
        found = self._open.take(str(data.get("litellm_call_id")))
        if found is None or not hasattr(response, "choices"):
            return response
        frame, injected = found
        if frame.outcome == "served":
            frame.body = response.model_dump_json().encode()
        frame.stream = False
        self._write(frame)
        if injected:
            for choice in response.choices:
                _strip(choice, absent=frame.api == "chat" and self._recorder.settings.absent == "omit")
        return response

    async def async_post_call_streaming_iterator_hook(
        self, user_api_key_dict: Any, response: Any, request_data: dict[str, Any]
    ) -> AsyncIterator[Any]:
        """Spool a stream, chunk by chunk, and take out what the client did not ask for."""
        found = self._open.take(str(request_data.get("litellm_call_id")))
        if found is None:
            async for chunk in response:
                yield chunk
            return
        frame, injected = found
        parts: list[bytes] = []
        is_whole = False
        try:
            async for chunk in response:
                if frame.outcome == "served":
                    parts.append(b"data: " + chunk.model_dump_json().encode() + b"\n\n")
                if injected:
                    for choice in chunk.choices:
                        _strip(choice, absent=False)
                yield chunk
            is_whole = True
        finally:
            frame.body, frame.stream = b"".join(parts), True
            if not is_whole and frame.outcome == "served":
                frame.outcome = "aborted"
            self._write(frame)

    async def async_post_call_failure_hook(
        self,
        request_data: dict[str, Any],
        original_exception: Exception,
        user_api_key_dict: Any,
        *,
        traceback_str: str | None = None,
    ) -> None:
        """Forget the request; a model that refused what was added is not asked again for a while."""
        found = self._open.take(str(request_data.get("litellm_call_id")))
        if found is None:
            return
        frame, injected = found
        if injected and getattr(original_exception, "status_code", None) in _REFUSED:
            self._recorder.note_refusal(frame.model)

    def _write(self, frame: Frame) -> None:
        self.spool.counts[frame.outcome] += 1
        self.spool.write(frame)


class _Added(msgspec.Struct):
    """What a request with log-probabilities has beside the one that came."""

    logprobs: Any = None
    top_logprobs: Any = None

    def given(self, api: str) -> dict[str, Any]:
        """The fields by name."""
        both = {"logprobs": self.logprobs, "top_logprobs": self.top_logprobs}
        return both if api == "chat" else {"logprobs": self.logprobs}


def _asked(data: Mapping[str, Any], call_type: str) -> Asked | None:
    api = "chat" if call_type in _CHAT else "completions" if call_type in _TEXT else None
    if api is None:
        return None
    body = data.get("proxy_server_request", {}).get("body")
    given = body if isinstance(body, dict) else {name: data[name] for name in _FIELDS if name in data}
    try:
        encoded = msgspec.json.encode({"model": data.get("model"), **given}, enc_hook=str)
    except (TypeError, msgspec.MsgspecError):
        return None
    return read_request("chat" if api == "chat" else "completions", encoded)


def _headers(data: Mapping[str, Any]) -> list[tuple[bytes, bytes]]:
    headers = data.get("proxy_server_request", {}).get("headers") or {}
    named = [(str(name).lower().encode("latin-1", "replace"), str(value)) for name, value in headers.items()]
    return [(name, value.encode("latin-1", "replace")) for name, value in named]


def _takes_logprobs(model: str) -> bool:
    """Whether LiteLLM knows that every deployment behind a name takes log-probabilities."""
    import sys

    import litellm

    router = getattr(sys.modules.get("litellm.proxy.proxy_server"), "llm_router", None)
    listed = router.get_model_list(model_name=model) if router is not None else None
    names = [one["litellm_params"]["model"] for one in listed or ()] or [model]
    return all("logprobs" in (litellm.get_supported_openai_params(model=name) or ()) for name in names)


def _strip(choice: Any, *, absent: bool) -> None:
    """Leave a choice as LiteLLM makes it where the server writes null, or without the attribute where it omits it."""
    if getattr(choice, "logprobs", None) is None:
        return
    if absent:
        del choice.logprobs
    else:
        choice.logprobs = None
