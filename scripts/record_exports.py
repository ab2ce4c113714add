"""Record what clients and loggers make of a server's answers, as test files in tests/traces/wire.

    python scripts/record_exports.py

Needs `langchain-openai langsmith dspy google-genai openinference-instrumentation-openai opentelemetry-sdk` in the
environment. The server is a replay, on loopback, of the answers of vLLM that `record_wire.py` recorded; it also takes
what the LangSmith client sends. Google's SDK is given an answer made after its documentation.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

WIRE = Path(__file__).parents[1] / "tests" / "traces" / "wire"
QUESTION = "What is 7 + 5? Reply with the number."
ASKED = {"max_tokens": 8, "temperature": 0.8, "seed": 7, "logprobs": True, "top_logprobs": 5}
ANSWERS = {
    "/v1/chat/completions": "vllm_chat.jsonl",
    "/v1/completions": "vllm_completions.jsonl",
    "/v1/responses": "vllm_responses.jsonl",
}
RUNS: dict[str, dict] = {}


class Replay(BaseHTTPRequestHandler):
    """Answers as recorded, and keeps the runs that are posted."""

    def do_GET(self) -> None:
        self._answer(b"{}")

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path in ANSWERS:
            self._answer((WIRE / ANSWERS[self.path]).read_bytes().splitlines()[0])
            return
        for part in json.loads(body).values():
            for run in part:
                RUNS.setdefault(run["id"], {}).update(run)
        self._answer(b"{}")

    def _answer(self, data: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def replay() -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Replay)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


def write(name: str, values: list) -> None:
    lines = [value if isinstance(value, str) else json.dumps(value, default=str) for value in values]
    (WIRE / name).write_text("\n".join(lines) + "\n", encoding="utf-8")


def chat(url: str):
    from langchain_openai import ChatOpenAI

    settings = {name: value for name, value in ASKED.items() if name not in ("logprobs", "top_logprobs")}
    return ChatOpenAI(
        model="smollm2",
        base_url=f"{url}/v1",
        api_key="none",
        logprobs=True,
        top_logprobs=5,
        metadata={"tenant": "t1"},
        **settings,
    )


def langchain(url: str) -> None:
    from langchain_core.load import dumpd
    from langchain_core.messages import HumanMessage, message_to_dict

    message = chat(url).invoke(QUESTION)
    result = chat(url).generate([[HumanMessage(QUESTION)]])
    write(
        "langchain.jsonl",
        [dumpd(message), message_to_dict(message), message.model_dump(), json.loads(result.model_dump_json())],
    )


def langsmith(url: str) -> None:
    from langchain_core.tracers import LangChainTracer
    from langsmith import Client, tracing_context
    from langsmith.wrappers import wrap_openai
    from openai import OpenAI

    batches = {
        "batch_ingest_config": {
            "use_multipart_endpoint": False,
            "size_limit": 10,
            "size_limit_bytes": None,
            "scale_up_nthreads_limit": 1,
            "scale_up_qsize_trigger": 10,
        }
    }
    client = Client(api_url=url, api_key="none", info=batches)
    chat(url).invoke(QUESTION, config={"callbacks": [LangChainTracer(client=client)]})
    wrapped = wrap_openai(
        OpenAI(base_url=f"{url}/v1", api_key="none"), tracing_extra={"client": client, "metadata": {"tenant": "t1"}}
    )
    turns = [{"role": "user", "content": QUESTION}]
    with tracing_context(enabled=True, client=client):
        wrapped.chat.completions.create(model="smollm2", messages=turns, **ASKED)
    client.flush()
    kept = [{key: value for key, value in run.items() if key != "serialized"} for run in RUNS.values()]
    for run in kept:
        run.get("extra", {}).pop("runtime", None)
    write("langsmith.jsonl", kept)


def dspy_history(url: str) -> None:
    import dspy

    lm = dspy.LM(
        "openai/smollm2",
        api_base=f"{url}/v1",
        api_key="none",
        cache=False,
        max_tokens=8,
        temperature=0.8,
        logprobs=True,
        top_logprobs=5,
    )
    lm(QUESTION)
    write("dspy.jsonl", [dict(lm.history[-1])])


def openinference(url: str) -> None:
    from openai import OpenAI
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    client = OpenAI(base_url=f"{url}/v1", api_key="none")
    client.responses.create(model="smollm2", input=QUESTION, top_logprobs=5, include=["message.output_text.logprobs"])
    client.completions.create(model="smollm2", prompt=QUESTION, max_tokens=8, logprobs=3)
    write(
        "openinference_others.jsonl", [json.dumps(json.loads(span.to_json())) for span in exporter.get_finished_spans()]
    )


def google(_: str) -> None:
    from google.genai.types import GenerateContentResponse

    line = (WIRE / "cases" / "15_gemini.jsonl").read_text(encoding="utf-8").splitlines()[0]
    answer = GenerateContentResponse.model_validate(json.loads(line))
    write(
        "google_genai.jsonl",
        [answer.model_dump_json(exclude_none=True), answer.model_dump_json(), answer.model_dump_json(by_alias=True)],
    )


def main() -> None:
    recorders: list[Callable[[str], None]] = [langchain, langsmith, dspy_history, openinference, google]
    with replay() as url:
        for record in recorders:
            record(url)


if __name__ == "__main__":
    main()
