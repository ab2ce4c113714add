"""Record what real servers and loggers write, as test files in tests/traces/wire.

    python scripts/record_wire.py server URL MODEL   # an OpenAI-compatible server: vLLM 0.32.0 here
    TOKENIZER=FOLDER python scripts/record_wire.py clients URL MODEL  # loggers and evaluators against that server

The second needs `inspect-ai litellm openinference-instrumentation-openai opentelemetry-sdk lm-eval[api] transformers`
in the environment. What a server sends is written as it came; addresses and folders are taken out of what loggers
write.
"""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

WIRE = Path(__file__).parents[1] / "tests" / "traces" / "wire"
QUESTIONS = ("What is 7 + 5? Reply with the number.", "What is the capital of France?")
CHAT = {"max_tokens": 8, "temperature": 0.8, "seed": 7, "logprobs": True, "top_logprobs": 5}


def post(url: str, body: dict) -> bytes:
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=300) as answer:
        return answer.read()


def turns(question: str) -> dict:
    return {"messages": [{"role": "user", "content": question}]}


def server(url: str, model: str) -> None:
    base = {"model": model}
    chat = f"{url}/chat/completions"
    files = {
        "vllm_chat.jsonl": [post(chat, {**base, **CHAT, **turns(q)}) for q in QUESTIONS],
        "vllm_chat_two_choices.jsonl": [post(chat, {**base, **CHAT, **turns(QUESTIONS[0]), "n": 2})],
        "vllm_chat_token_ids.jsonl": [
            post(chat, {**base, **CHAT, **turns(QUESTIONS[0]), "return_tokens_as_token_ids": True})
        ],
        "vllm_chat.sse": [post(chat, {**base, **CHAT, **turns(QUESTIONS[0]), "stream": True})],
        "vllm_completions.jsonl": [
            post(
                f"{url}/completions",
                {**base, "prompt": q, "max_tokens": 8, "temperature": 1.5, "seed": 3, "logprobs": 3},
            )
            for q in QUESTIONS
        ],
        "vllm_responses.jsonl": [post(f"{url}/responses", {**base, **_responses(QUESTIONS[0])})],
        "vllm_responses.sse": [post(f"{url}/responses", {**base, **_responses(QUESTIONS[0]), "stream": True})],
    }
    for name, answers in files.items():
        (WIRE / name).write_bytes(b"\n".join(answer.rstrip(b"\n") for answer in answers) + b"\n")


def _responses(question: str) -> dict:
    return {
        "input": question,
        "max_output_tokens": 8,
        "temperature": 0.8,
        "top_logprobs": 5,
        "store": False,
        "include": ["message.output_text.logprobs"],
    }


def clients(url: str, model: str) -> None:
    os.environ |= {"OPENAI_API_KEY": "none", "OPENAI_BASE_URL": url, "LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    for record in (inspect_log, litellm_log, openinference_spans, lm_eval_samples):
        record(url, model)


def inspect_log(url: str, model: str) -> None:
    from inspect_ai import Task, eval  # the log names the repository that it is run in, so it is run outside
    from inspect_ai.dataset import Sample
    from inspect_ai.model import GenerateConfig
    from inspect_ai.scorer import includes

    samples = [
        Sample(input=QUESTIONS[0], target="12", id="sum"),
        Sample(input=QUESTIONS[1], target="Paris", id="capital"),
    ]
    config = GenerateConfig(max_tokens=8, temperature=0.8, seed=7, logprobs=True, top_logprobs=5)
    for kind in ("eval", "json"):
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            eval(
                Task(dataset=samples, scorer=includes(), name="questions", config=config),
                model=f"openai/{model}",
                model_args={"responses_api": False},
                log_dir=folder,
                log_format=kind,
                display="none",
            )
            written = next(Path(folder).glob(f"*.{kind}")).read_bytes()
        (WIRE / f"inspect.{kind}").write_bytes(written if kind == "eval" else clean(written.decode(), url).encode())


def litellm_log(url: str, model: str) -> None:
    import litellm
    from litellm.integrations.custom_logger import CustomLogger

    lines: list[str] = []

    class Keep(CustomLogger):
        def log_success_event(self, kwargs, response_obj, start_time, end_time):
            lines.append(json.dumps(kwargs["standard_logging_object"], default=str))

    litellm.callbacks = [Keep()]
    for question in QUESTIONS:
        litellm.completion(
            f"openai/{model}",
            api_base=url,
            metadata={"requester_metadata": {"tenant": "t1"}},
            **CHAT,
            **turns(question),
        )
    from litellm.litellm_core_utils.thread_pool_executor import executor

    executor.shutdown(wait=True)
    (WIRE / "litellm.jsonl").write_text("\n".join(clean(line, url) for line in lines) + "\n", encoding="utf-8")


def openinference_spans(url: str, model: str) -> None:
    from openai import OpenAI
    from openinference.instrumentation import using_attributes
    from openinference.instrumentation.openai import OpenAIInstrumentor
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    client = OpenAI(base_url=url)
    for question in QUESTIONS:
        with using_attributes(session_id="s1", user_id="u1", metadata={"tenant": "t1"}):
            client.chat.completions.create(model=model, **CHAT, **turns(question))
    parts = client.chat.completions.create(model=model, stream=True, **CHAT, **turns(QUESTIONS[0]))
    for _ in parts:
        pass
    spans = [json.dumps(json.loads(span.to_json())) for span in exporter.get_finished_spans()]
    (WIRE / "openinference.jsonl").write_text("\n".join(clean(line, url) for line in spans) + "\n", encoding="utf-8")


def lm_eval_samples(url: str, model: str) -> None:
    rows = [
        {"question": "7 + 5 =", "choices": ["11", "12", "13"], "label": 1, "subject": "sums"},
        {
            "question": "The capital of France is",
            "choices": ["Paris", "Rome", "Madrid"],
            "label": 0,
            "subject": "cities",
        },
    ]
    source = {"dataset_path": "json", "dataset_kwargs": {"data_files": {"test": "rows.jsonl"}}, "test_split": "test"}
    tasks = {
        "choice": {
            "output_type": "multiple_choice",
            "doc_to_choice": "{{choices}}",
            "doc_to_target": "label",
            "metric_list": [{"metric": "acc"}],
        },
        "written": {
            "output_type": "generate_until",
            "doc_to_target": "{{choices[label]}}",
            "generation_kwargs": {"until": ["\n"], "max_gen_toks": 8},
            "metric_list": [{"metric": "exact_match"}],
        },
    }
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
        for name, task in tasks.items():  # JSON is YAML, too
            text = json.dumps({"task": name, **source, "doc_to_text": "{{question}}", **task})
            (Path(folder) / f"{name}.yaml").write_text(text, encoding="utf-8")
        arguments = f"model={model},base_url={url}/completions,tokenizer={os.environ['TOKENIZER']}"
        command = [
            Path(sys.executable).parent / "lm_eval",
            "run",
            "--model",
            "local-completions",
            "--model_args",
            arguments,
            "--tasks",
            ",".join(tasks),
            "--include_path",
            ".",
            "--log_samples",
            "--output_path",
            "out",
        ]
        subprocess.run(command, cwd=folder, check=True)
        for name in tasks:
            written = next(Path(folder).glob(f"out/**/samples_{name}_*.jsonl"))
            (WIRE / f"samples_{name}_2026-11-25T00-00-00.000000.jsonl").write_bytes(written.read_bytes())


def clean(text: str, url: str) -> str:
    import socket

    host = url.split("//")[1].split("/")[0]
    return text.replace(host, "localhost:8000").replace(socket.gethostname(), "host").replace(sys.prefix, "env")


if __name__ == "__main__":
    {"server": server, "clients": clients}[sys.argv[1]](sys.argv[2].rstrip("/"), sys.argv[3])
