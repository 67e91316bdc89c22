"""The receiver on the wire: OTLP over http and grpc, other tracers' protocols, the harness's own questions.

The questions have a socket of their own.

While a run measures, a body is only stored: a setup must not wait for a slow answer, and decoding
on the same machine would cost the run CPU. Requests beyond the limits in `messages` get an error and are
counted. To show how an application handles a failing backend, the receiver can be configured to
fail.
"""

import asyncio
import errno
import inspect
import math
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import grpc
import grpc.aio
import msgspec
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from bench.receiver import intakes
from bench.receiver.bodies import Bodies
from bench.receiver.decoding import PROTOBUF, Body
from bench.receiver.messages import MAX_BODY_BYTES, MAX_HEAD_BYTES, Answering, Format, Signal

SERVICES = {
    signal: f"opentelemetry.proto.collector.{package}.v1.{service}"
    for signal, package, service in (
        (Signal.TRACES, "trace", "TraceService"),
        (Signal.METRICS, "metrics", "MetricsService"),
        (Signal.LOGS, "logs", "LogsService"),
    )
}
PATHS = {f"/v1/{signal}": signal for signal in Signal}
CODES = {
    429: grpc.StatusCode.RESOURCE_EXHAUSTED, 500: grpc.StatusCode.INTERNAL,
    502: grpc.StatusCode.UNAVAILABLE, 503: grpc.StatusCode.UNAVAILABLE, 504: grpc.StatusCode.UNAVAILABLE,
}  # fmt: skip
"""The grpc status of a failing backend, by the HTTP status that it would return."""
JSON = b"application/json"
RETRY_KEY = "google.rpc.retryinfo-bin"
"""Where OpenTelemetry's exporter looks for when to try again."""

Question = Callable[[bytes], object]
Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Receiver:
    """What both protocols share: where bodies go, and how they are answered.

    Attributes:
        bodies: what was received.
        answering: how export requests are answered now.
    """

    bodies: Bodies
    answering: Answering = field(default_factory=Answering)

    async def take(self, signal: Signal, body: Body) -> int:
        """Keep an export request, or not; returns the HTTP status of the answer."""
        status, delay_s = self.answering.status, self.answering.delay_s
        fails = status >= HTTPStatus.BAD_REQUEST
        if len(body.content) > MAX_BODY_BYTES:
            self.bodies.refuse()
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
        has_room = self.bodies.keep(signal, body, rejected=fails)
        if delay_s:
            await asyncio.sleep(delay_s)
        return status if has_room else HTTPStatus.INSUFFICIENT_STORAGE


class BoundedProtocol(HttpToolsProtocol):
    """HTTP with a limit on the size of a head; neither the parser nor uvicorn has one."""

    _head_bytes = 0
    _is_in_head = True

    def data_received(self, data: bytes) -> None:
        """Take what came; a head that is too long ends the connection."""
        super().data_received(data)
        if self._is_in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.transport.abort()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer after a body in chunks, which counts like one."""
        super().on_header(name, value)
        if not self._is_in_head:
            self._head_bytes += len(name) + len(value)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.transport.abort()

    def on_message_begin(self) -> None:
        """A head begins."""
        self._head_bytes, self._is_in_head = 0, True
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._is_in_head = False
        super().on_headers_complete()


class _TooLargeError(Exception):
    """A body beyond the limit."""


async def _content(scope: dict[str, Any], receive: Any) -> bytes | None:  # noqa: ANN401
    """A request's whole body; None if its sender has gone.

    Raises:
        _TooLargeError: it is larger than `MAX_BODY_BYTES`.
    """
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _TooLargeError
    chunks, size, more = [], 0, True
    while more:
        message = await receive()
        if message["type"] != "http.request":
            return None
        chunks.append(message.get("body", b""))
        size += len(chunks[-1])
        if size > MAX_BODY_BYTES:
            raise _TooLargeError
        more = message.get("more_body", False)
    return b"".join(chunks)


async def _answer(send: Any, status: int, headers: Headers, content: bytes = b"") -> None:  # noqa: ANN401
    # Without a length the answer would be chunked: two packets, and a client that waits
    # 40 ms for the second because the kernel delays the first one's acknowledgement.
    length = (b"content-length", str(len(content)).encode())
    await send({"type": "http.response.start", "status": status, "headers": [*headers, length]})
    await send({"type": "http.response.body", "body": content})


def otlp_app(receiver: Receiver) -> Any:  # noqa: ANN401 - an ASGI callable
    """The receiver for OTLP and other tracers' protocols over http, and nothing else."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401
        method, path = scope["method"], scope["path"]
        format_ = intakes.format_of(method, path) or Format.OTLP
        signal = PATHS.get(path) if format_ is Format.OTLP else Signal.TRACES
        headers: Headers = [(b"content-type", PROTOBUF.encode() if format_ is Format.OTLP else JSON)]
        if method == "GET" and path in intakes.ANSWERS:
            told = msgspec.json.encode(intakes.ANSWERS[path])
            await _answer(send, HTTPStatus.OK, [(b"content-type", JSON)], told)
            return
        if signal is None or method not in {"POST", "PUT"}:
            await _answer(send, HTTPStatus.NOT_FOUND, headers)
            return
        try:
            content = await _content(scope, receive)
        except _TooLargeError:
            receiver.bodies.refuse()
            await _answer(send, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, [*headers, (b"connection", b"close")])
            return
        if content is None:
            return
        encoding = dict(scope["headers"]).get(b"content-encoding", b"")
        retry_after_s = receiver.answering.retry_after_s
        status = await receiver.take(signal, Body(content, encoding.decode("latin-1").lower(), format_))
        if retry_after_s is not None and status >= HTTPStatus.BAD_REQUEST:
            headers.append((b"retry-after", str(retry_after_s).encode()))
        accepted = intakes.ACCEPTED.get(format_) if status == HTTPStatus.OK else None
        await _answer(send, accepted[0] if accepted else status, headers, accepted[1] if accepted else b"")

    return app


def control_app(questions: dict[str, Question]) -> Any:  # noqa: ANN401 - an ASGI callable
    """Answers the harness only: its socket is on the loopback interface."""

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401
        question = questions.get(scope["path"])
        if question is None:
            await _answer(send, HTTPStatus.NOT_FOUND, [])
            return
        try:
            content = await _content(scope, receive)
            if content is None:
                return
            result = question(content)
            result = await result if inspect.isawaitable(result) else result
        except (msgspec.DecodeError, UnicodeDecodeError, _TooLargeError) as error:
            await _answer(send, HTTPStatus.BAD_REQUEST, [], str(error).encode())
            return
        await _answer(send, HTTPStatus.OK, [(b"content-type", JSON)], msgspec.json.encode(result))

    return app


def grpc_server(receiver: Receiver, address: str) -> tuple[grpc.aio.Server, int]:
    """The receiver for OTLP over grpc and its port; messages stay bytes.

    Raises:
        OSError: the address is taken.
    """
    # What unpacks to more is refused by grpc itself.
    server = grpc.aio.server(options=[("grpc.max_receive_message_length", MAX_BODY_BYTES)])
    for signal, service in SERVICES.items():
        handler: grpc.RpcMethodHandler[bytes, bytes] = grpc.unary_unary_rpc_method_handler(
            _export(receiver, signal)
        )
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {"Export": handler})])
    try:
        return server, server.add_insecure_port(address)
    except RuntimeError:
        raise OSError(errno.EADDRINUSE, os.strerror(errno.EADDRINUSE), address) from None


def _export(
    receiver: Receiver, signal: Signal
) -> Callable[[bytes, grpc.aio.ServicerContext[bytes, bytes]], Awaitable[bytes]]:
    async def export(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        retry_after_s = receiver.answering.retry_after_s
        status = await receiver.take(signal, Body(request))
        if status >= HTTPStatus.BAD_REQUEST:
            metadata: tuple[tuple[str, bytes], ...] = ()
            if retry_after_s is not None:
                delay = Duration(seconds=math.floor(retry_after_s))
                metadata = ((RETRY_KEY, RetryInfo(retry_delay=delay).SerializeToString()),)
            code = CODES.get(status, grpc.StatusCode.INVALID_ARGUMENT)
            await context.abort(code, HTTPStatus(status).phrase, metadata)
        return b""

    return export
