"""Runs one service (`python -m services NAME --port N`), or all four for a person (`... all`)."""

import argparse
import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence

from starlette.types import ASGIApp

from services import frontend, inventory, orders, payments
from services.server import bind, serve
from services.telemetry import ConfigurationError, check, configure
from services.usage_file import UsageFile, usage_file_of
from services.web import CONNECTIONS

SERVICES = (frontend.SERVICE, orders.SERVICE, payments.SERVICE, inventory.SERVICE)
FIRST_PORT = 8000
START_LIMIT_S = 30.0


class StartError(Exception):
    """A service that cannot start: what happened, and what to do."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code: 0 after an orderly stop, 2 for a wrong command line, 3 for a service that failed."""
    args = _parser().parse_args(argv)
    try:
        return _run_all(args) if args.service == "all" else _run_one(args)
    except StartError as error:
        sys.stderr.write(f"error: {error}\nhint: {error.hint}\n")
        return 3


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m services", description=__doc__)
    parser.add_argument("service", choices=(*SERVICES, "all"), help="which service to run")
    parser.add_argument(
        "--port",
        type=int,
        help=f"port on 127.0.0.1 (default: {FIRST_PORT} to {FIRST_PORT + 3}); with 'all' the first of four",
    )
    parser.add_argument("--fd", type=int, help="serve on this inherited, listening socket instead")
    parser.add_argument("--stop-on-eof", action="store_true", help="stop when standard input ends")
    for upstream in SERVICES[1:]:
        parser.add_argument(f"--{upstream}-url", help=f"where {upstream} answers")
    parser.add_argument(
        "--payment-delay",
        type=_seconds,
        default=0.0,
        metavar="TIME",
        help="the card network's delay, such as 150ms",
    )
    parser.add_argument(
        "--inventory-delay",
        type=_seconds,
        default=0.0,
        metavar="TIME",
        help="the warehouse's delay, such as 50ms",
    )
    parser.add_argument(
        "--connections",
        type=int,
        default=CONNECTIONS,
        metavar="N",
        help=f"connections to each upstream at most; a measured run has 2 (default: {CONNECTIONS})",
    )
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default: 127.0.0.1)")
    parser.add_argument(
        "--upstream-timeout",
        type=_seconds,
        default=2.0,
        metavar="TIME",
        help="how long order-service waits for an upstream (default: 2)",
    )
    return parser


def _seconds(text: str) -> float:
    """Seconds from `0.15`, `0.15s` or `150ms`."""
    number, scale = (text[:-2], 1e-3) if text.endswith("ms") else (text.removesuffix("s"), 1.0)
    try:
        value = float(number) * scale
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; write 0.15, 0.15s or 150ms") from None
    if not 0 <= value <= 3600:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and an hour")
    return value


def _port(service: str, first: int) -> int:
    return first + SERVICES.index(service)


def _url(args: argparse.Namespace, upstream: str) -> str:
    given = getattr(args, f"{upstream.replace('-', '_')}_url")
    return given or f"http://127.0.0.1:{_port(upstream, FIRST_PORT)}"


def _address(host: str, port: int) -> str:
    """How services on this machine reach each other."""
    return f"http://{'127.0.0.1' if host == '0.0.0.0' else host}:{port}"


def _run_one(args: argparse.Namespace) -> int:
    _check_tracing()
    usage_file = usage_file_of()
    serve(_build(args, usage_file), _listen(args), stop_on_eof=args.stop_on_eof, usage_file=usage_file)
    return 0


def _listen(args: argparse.Namespace) -> socket.socket:
    if args.fd is not None:
        return socket.socket(fileno=args.fd)
    port = _port(args.service, FIRST_PORT) if args.port is None else args.port
    return _bind(args.service, args.host, port)


def _bind(service: str, host: str, port: int) -> socket.socket:
    try:
        return bind(port, host)
    except OSError as error:
        raise StartError(
            f"{service} cannot listen on port {port} of {host}: {error.strerror or error}",
            "stop the program that uses the port, or choose another with --port",
        ) from None
    except OverflowError:
        raise StartError(f"{port} is not a port", "choose one from 1 to 65535 with --port") from None


def _build(args: argparse.Namespace, usage_file: UsageFile | None) -> ASGIApp:
    try:
        tracing = configure(args.service, usage_file=usage_file)
    except ConfigurationError as error:
        raise StartError(str(error), "install the package, or unset BENCH_SPANS") from None
    if args.service == frontend.SERVICE:
        return frontend.build(tracing, order_url=_url(args, orders.SERVICE), connections=args.connections)
    if args.service == orders.SERVICE:
        return orders.build(
            tracing,
            payment_url=_url(args, payments.SERVICE),
            inventory_url=_url(args, inventory.SERVICE),
            upstream_timeout_s=args.upstream_timeout,
            connections=args.connections,
        )
    if args.service == payments.SERVICE:
        return payments.build(tracing, delay_s=args.payment_delay)
    return inventory.build(tracing, delay_s=args.inventory_delay)


def _run_all(args: argparse.Namespace) -> int:
    """The four services as four processes, until Ctrl-C or SIGTERM."""
    first = FIRST_PORT if args.port is None else args.port
    _check_tracing()
    # Explicitly, also for SIGINT: a shell starts background jobs with it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _interrupt)
    children: dict[str, subprocess.Popen[bytes]] = {}
    with contextlib.ExitStack() as stack:
        # All ports are taken here, before anything starts, and handed down.
        listeners = {
            service: stack.enter_context(_bind(service, args.host, _port(service, first)))
            for service in SERVICES
        }
        stack.callback(_stop, children)
        try:
            for service, listener in listeners.items():
                children[service] = _spawn(service, listener, first, args)
                listener.close()
            for service, child in children.items():
                _wait_until_healthy(service, child, _address(args.host, _port(service, first)))
            sys.stdout.write(_greeting(args.host, first))
            sys.stdout.flush()
            return _watch(children)
        except KeyboardInterrupt:
            sys.stderr.write("stopping\n")
            return 0


def _check_tracing() -> None:
    try:
        check(os.environ)
    except ConfigurationError as error:
        raise StartError(str(error), "set the variable to one of these values, or unset it") from None


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt


def _spawn(
    service: str, listener: socket.socket, first: int, args: argparse.Namespace
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "services", service, "--fd", str(listener.fileno()), "--stop-on-eof"]
    for upstream in SERVICES[1:]:
        command += [f"--{upstream}-url", _address(args.host, _port(upstream, first))]
    command += ["--payment-delay", str(args.payment_delay)]
    command += ["--inventory-delay", str(args.inventory_delay)]
    command += ["--upstream-timeout", str(args.upstream_timeout), "--connections", str(args.connections)]
    # A session of its own: Ctrl-C reaches this program alone, which then stops them in order.
    return subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=(listener.fileno(),), start_new_session=True
    )


def _wait_until_healthy(service: str, child: subprocess.Popen[bytes], url: str) -> None:
    limit = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit:
        if child.poll() is not None:
            raise StartError(f"{service} ended with code {child.returncode}", "its message stands above")
        with (
            contextlib.suppress(OSError, http.client.HTTPException),
            urllib.request.urlopen(f"{url}/admin/health", timeout=1),  # noqa: S310 - our own http address
        ):
            return
        time.sleep(0.05)
    raise StartError(
        f"{service} did not answer within {START_LIMIT_S:g} s", "close other programs and try again"
    )


def _greeting(host: str, first: int) -> str:
    lines = [f"{service:<18} {_address(host, _port(service, first))}" for service in SERVICES]
    body = (
        '{"items": [{"sku": "keyboard", "quantity": 1}], "amount": 4999,'
        ' "currency": "EUR", "payment_token": "tok_visa"}'
    )
    lines += ["", "Try it:", f"  curl -s {_address(host, first)}/checkout -d '{body}'", ""]
    return "\n".join([*lines, "Ctrl-C stops all four.", ""])


def _watch(children: dict[str, subprocess.Popen[bytes]]) -> int:
    """Waits for the first child to end, which none should."""
    pid, status = os.wait()
    for service, child in children.items():
        if child.pid == pid:
            child.returncode = os.waitstatus_to_exitcode(status)
            raise StartError(
                f"{service} ended with code {child.returncode}", "the other services were stopped"
            )
    return 3


def _stop(children: dict[str, subprocess.Popen[bytes]]) -> None:
    for child in children.values():
        if child.poll() is None:
            child.terminate()
    for child in children.values():
        try:
            child.wait(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


if __name__ == "__main__":
    sys.exit(main())
