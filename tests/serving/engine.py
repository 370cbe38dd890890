"""A server with the part of vLLM's interface that a load test uses, started as the engine is.

It generates no text of a model: every token is the same. What is real are the process, the HTTP
and the counters.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock

from tokenizers import Tokenizer

TOKEN = 5
_lock = Lock()
_counts = {"request_success_total": 0, "prompt_tokens_total": 0, "generation_tokens_total": 0}


def option(name: str) -> str:
    return sys.argv[sys.argv.index(name) + 1]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        with _lock:
            page = "".join(f'vllm:{name}{{model_name="m"}} {n}\n' for name, n in _counts.items())
        self._answer(page if self.path == "/metrics" else json.dumps({"version": "0.test"}))

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt_ids = tokenizer.encode(body["prompt"], add_special_tokens=False).ids
        tokens = [TOKEN] * body["max_tokens"]
        with _lock:
            _counts["request_success_total"] += 1
            _counts["prompt_tokens_total"] += len(prompt_ids)
            _counts["generation_tokens_total"] += len(tokens)
        if not body.get("stream"):
            choice = {"text": "x", "prompt_token_ids": prompt_ids, "token_ids": tokens}
            self._answer(json.dumps({"choices": [choice]}))
            return
        last = len(tokens) - 1
        chunks: list[object] = [
            {"choices": [{"text": "x", "finish_reason": "length" if i == last else None}]}
            for i in range(len(tokens))
        ]
        usage = {"prompt_tokens": len(prompt_ids), "completion_tokens": len(tokens)}
        chunks.append({"choices": [], "usage": usage})
        self._answer("".join(f"data: {json.dumps(chunk)}\n\n" for chunk in chunks))

    def _answer(self, text: str) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = True


if __name__ == "__main__":
    tokenizer = Tokenizer.from_file(str(Path(option("--model")) / "tokenizer.json"))
    Server(("127.0.0.1", int(option("--port"))), Handler).serve_forever()
