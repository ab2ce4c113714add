"""A server of OpenAI's shape on loopback that fails in the ways that servers fail."""

import contextlib
import json
import random
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

__all__ = ["FakeServer", "completion", "of_two_minds"]


def completion(text, *, finish="stop", logprob=-0.1):
    """A chat completion with one answer."""
    token = {"token": text or "x", "logprob": logprob, "top_logprobs": [{"token": text or "x", "logprob": logprob}]}
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}
    choice["logprobs"] = {"content": [token]}
    usage = {"prompt_tokens": 5, "completion_tokens": 1}
    return {"id": "x", "object": "chat.completion", "model": "m", "choices": [choice], "usage": usage}


class FakeServer:
    """Serves until it is left; ``reply(body, n)`` returns (status, object or bytes, headers) for the nth request."""

    def __init__(self, reply=None):
        self.bodies, self.headers, self.paths = [], [], []
        self.reply = reply or (lambda body, n: (200, completion("4"), {}))
        self._lock = threading.Lock()
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                raw = self.rfile.read(int(self.headers["Content-Length"]))
                if not raw:
                    return  # the client died
                body = json.loads(raw)
                with owner._lock:
                    owner.bodies.append(body)
                    owner.headers.append(dict(self.headers))
                    owner.paths.append(self.path)
                    n = len(owner.bodies)
                status, said, headers = owner.reply(body, n)
                raw = said if isinstance(said, bytes) else json.dumps(said).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(raw)))
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    if headers.get("X-Slow"):
                        for byte in raw:
                            self.wfile.write(bytes([byte]))
                            self.wfile.flush()
                            time.sleep(float(headers["X-Slow"]))
                    else:
                        self.wfile.write(raw)

            def log_message(self, *_):
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()  # closes at once
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"

    @property
    def n_calls(self):
        """Requests so far."""
        return len(self.bodies)

    def requests(self):
        """How often each request was asked."""
        return Counter(json.dumps(body, sort_keys=True) for body in self.bodies)

    def close(self):
        """End."""
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def of_two_minds(body, n):
    """4 or 5 by seed and prompt."""
    rng = random.Random(f"{body.get('seed')} {body['messages'][-1]['content']}")
    return 200, completion(rng.choice(["4", "4", "5"])), {}
