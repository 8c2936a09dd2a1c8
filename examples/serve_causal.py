"""Serve a causal checkpoint as an OpenAI-compatible endpoint, to try out `ragshap` with one; see docs/prompt-reader.md.

python examples/serve_causal.py CHECKPOINT [PORT]
"""

import json
import sys
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from rag.readers.prompt.causal import CausalModel


def serve(checkpoint: str, port: int = 8000) -> HTTPServer:
    """A server on this machine alone, one request at a time; call its `serve_forever`."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if not self.path.endswith("/chat/completions"):
                self.send_error(404)
                return
            body = json.dumps({"object": "chat.completion", "created": int(time.time()), **answer(asked)}).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    def answer(asked: dict) -> dict:
        """A reply; or, as vLLM does it, the log-probabilities of the message that is to be continued."""
        *_, user = (message["content"] for message in asked["messages"] if message["role"] == "user")
        given = asked["messages"][-1]["content"]
        if asked.get("prompt_logprobs") is not None and given != user:
            [log_probs], offsets = model.score_tokens([user], given)
            entries = zip(log_probs.tolist(), offsets, strict=True)
            found = [{"0": {"logprob": p, "decoded_token": given[start:end]}} for p, (start, end) in entries]
            return {"choices": [choice("", "length")], "prompt_logprobs": [None, *found]}
        reply = model.complete([user])[0]
        return {"choices": [choice(reply.text, "length" if reply.cut else "stop")]}

    def choice(text: str, finish: str) -> dict:
        return {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish}

    model = CausalModel(checkpoint)
    return HTTPServer(("127.0.0.1", port), Handler)


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    server = serve(sys.argv[1], *map(int, sys.argv[2:]))
    print(f"http://127.0.0.1:{server.server_port}/v1#{sys.argv[1]}", flush=True)
    server.serve_forever()
