"""Reads the body of each request before the application does, up to a maximum size and time."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]

DISCARDED = 256 * 2**20  # bytes read and discarded, so that a client that is still sending sees the answer
DISCARDING_SECONDS = 10.0


class _TooLargeError(Exception):
    """`more` says whether the client is still sending."""

    def __init__(self, more: bool):
        super().__init__()
        self.more = more


class _GoneError(Exception):
    pass


class BodyLimit:
    """
    ASGI middleware: 413 for larger bodies, whether or not their length is announced, and 408 for those that take too long.

    Args:
        application (`Callable`): The wrapped application.
        max_bytes (`int`): Maximum size of a body.
        timeout (`float`): Seconds within which the body must arrive.
    """

    def __init__(self, application: Application, max_bytes: int, timeout: float):
        self._application = application
        self._max_bytes = max_bytes
        self._timeout = timeout

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._application(scope, receive, send)
            return
        try:
            async with asyncio.timeout(self._timeout):
                body = await self._read(scope, receive)
        except _GoneError:
            return
        except TimeoutError:
            await _answer(send, 408, f"the body did not arrive within {self._timeout:g} s")
            return
        except _TooLargeError as error:
            if error.more:
                await _discard(receive)
            await _answer(send, 413, f"the body of a request may have up to {self._max_bytes:,} bytes here")
            return
        await self._application(scope, _replayed(body, receive), send)

    async def _read(self, scope: Message, receive: Receive) -> bytes:
        announced = dict(scope["headers"]).get(b"content-length", b"")
        if announced.isdigit() and int(announced) > self._max_bytes:
            raise _TooLargeError(more=True)
        body = bytearray()
        more = True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._max_bytes:
                raise _TooLargeError(more)
        return bytes(body)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, and then the server's messages, such as a disconnect."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive_again() -> Message:
        return messages.pop() if messages else await receive()

    return receive_again


async def _discard(receive: Receive) -> None:
    size = 0
    try:
        async with asyncio.timeout(DISCARDING_SECONDS):
            while size < DISCARDED:
                message = await receive()
                size += len(message.get("body", b""))
                if not message.get("more_body", False):
                    return
    except TimeoutError:
        return


async def _answer(send: Send, status: int, detail: str) -> None:
    content = json.dumps({"detail": detail}).encode()
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(content)).encode()),
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content})
