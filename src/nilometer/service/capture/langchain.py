"""Capture in LangChain: a callback that writes the log-probabilities of answers to the spool."""

from typing import Any
from uuid import UUID

import msgspec

from nilometer.errors import ConfigError

from .frames import Frame
from .recorder import OpenRequests, Recorder
from .requests import read_request
from .settings import Settings

__all__ = ["langchain_callback"]


def langchain_callback(settings: Settings | None = None) -> Any:
    """Make a callback handler that captures what chat models answer, whole and streamed.

    A callback cannot change a request, so ask for log-probabilities where the model is made:
    ``ChatOpenAI(model=..., logprobs=True, top_logprobs=20, callbacks=[langchain_callback()])``. An answer without them
    is counted. Slice keys are the entries of ``metadata``:
    ``model.invoke(text, config={"metadata": {"tenant": "a"}})``.

    Parameters
    ----------
    settings
        None reads the environment.

    Raises
    ------
    ConfigError
        If LangChain is not installed, or the environment holds a value outside its range.
    """
    try:
        from langchain_core.callbacks import BaseCallbackHandler
    except ImportError as exc:
        raise ConfigError("capturing in LangChain needs the package `langchain-core`. Install it.") from exc
    return type("NilometerCapture", (_Handler, BaseCallbackHandler), {})(Recorder(settings))


class _Handler:
    """Methods that LangChain calls."""

    def __init__(self, recorder: Recorder) -> None:
        super().__init__()
        self.spool = recorder.spool
        self._recorder = recorder
        self._open: OpenRequests[Frame] = OpenRequests()

    def on_chat_model_start(self, serialized: Any, messages: list[list[Any]], *, run_id: UUID, **given: Any) -> None:
        """Remember a request."""
        asked = given.get("invocation_params") or {}
        texts = [{"role": message.type, "content": message.content} for message in (messages or [[]])[0]]
        body = {
            "model": asked.get("model") or asked.get("model_name") or "",
            "messages": texts,
            "metadata": {name: value for name, value in (given.get("metadata") or {}).items() if name[:3] != "ls_"},
            **{name: asked[name] for name in ("logprobs", "top_logprobs", "temperature") if name in asked},
        }
        request = read_request("chat", msgspec.json.encode(body, enc_hook=str))
        if request is not None:
            self._open.put(run_id, self._recorder.frame(request))

    def on_llm_end(self, response: Any, *, run_id: UUID, **given: Any) -> None:
        """Spool an answer."""
        frame = self._open.take(run_id)
        if frame is None:
            return
        if frame.outcome == "served":
            frame.body = msgspec.json.encode(_answer(response.generations[0], frame), enc_hook=str)
        self.spool.counts[frame.outcome] += 1
        self.spool.write(frame)

    def on_llm_error(self, error: BaseException, *, run_id: UUID, **given: Any) -> None:
        """Forget a request that failed."""
        self._open.take(run_id)


def _answer(generations: list[Any], frame: Frame) -> dict[str, Any]:
    """An answer in the form of the server that gave it."""
    details = [_details(one) for one in generations]
    choices = [
        {
            "index": i,
            "message": {"role": "assistant", "content": one.text},
            "finish_reason": own.get("finish_reason"),
            "logprobs": own.get("logprobs"),
        }
        for i, (one, own) in enumerate(zip(generations, details, strict=True))
    ]
    name = next((own["id"] for own in details if own.get("id")), None) or frame.id
    model = next((own["model_name"] for own in details if own.get("model_name")), None) or frame.model
    return {"id": name, "object": "chat.completion", "model": model, "choices": choices}


def _details(generation: Any) -> dict[str, Any]:
    message = getattr(generation, "message", None)
    own = {"id": getattr(message, "id", None)}
    return own | (generation.generation_info or {}) | (getattr(message, "response_metadata", None) or {})
