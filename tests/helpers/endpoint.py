"""A stand-in for an OpenAI-compatible endpoint on the loopback, with exact answers, refusals and silences."""

import json
import threading
from collections.abc import Callable
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Reply:
    """What the endpoint says: a status, a body as it is, or nothing for some seconds."""

    def __init__(self, body: str = "", status: int = 200, headers: dict[str, str] | None = None, silence: float = 0):
        self.body, self.status, self.headers, self.silence = body, status, headers or {}, silence


def completion(content: str) -> Reply:
    """An answer of a model."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    usage = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
    return Reply(
        json.dumps(
            {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice], "usage": usage}
        )
    )


FULL = Reply('{"error": {"message": "slow down"}}', 429, {"retry-after-ms": "1"})


class Endpoint:
    """
    Args:
        answer (`Callable`): What to reply to the body of a request; called on the server's threads.

    Attributes:
        requests (`list[dict]`): The bodies of all requests. url (`str`): Its address.
    """

    def __init__(self, answer: Callable[[dict[str, Any]], Reply]):
        self.answer, self.requests, self.url = answer, [], ""
        self.closing = threading.Event()


@contextmanager
def serve(answer: Callable[[dict[str, Any]], Reply] | list[Reply]):
    """
    Serves on a free port.

    Args:
        answer: A function of the request's body, or replies to give one after the other, the last of them for ever.

    Yields:
        [`Endpoint`]
    """
    if isinstance(answer, list):
        replies = list(answer)
        answer = lambda body: replies.pop(0) if len(replies) > 1 else replies[0]  # noqa: E731
    endpoint = Endpoint(answer)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            endpoint.requests.append({**body, "path": self.path})
            reply = endpoint.answer(body)
            if reply.silence:
                endpoint.closing.wait(reply.silence)
                return
            content = reply.body.encode()
            self.send_response(reply.status)
            for name, value in {"content-type": "application/json", **reply.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    endpoint.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield endpoint
    finally:
        endpoint.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()
