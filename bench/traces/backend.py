"""A trace backend: started on loopback, given spans, and asked what it has.

Its spans are compared with those that the receiver received: an accepted export is no proof.
"""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import msgspec

from bench.errors import ServiceError
from bench.receiver.messages import TraceSpan
from bench.testbed.ports import free_ports
from bench.testbed.process import Child
from bench.traces import readback
from bench.traces.journey import traces, tree
from bench.traces.program import HOST, LOOK_S, STOP_LIMIT_S, start

ASK_LIMIT_S = 10.0
READ_LIMIT_S = 20.0
"""A batch waits for 200 ms in the Collector, and a backend writes its batches when it has time."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Backend:
    """A running trace backend.

    Attributes:
        name: of the tool.
        child: its process.
        page: where a person looks at a trace, with `{}` for its id; empty where there are no pages.
        api: where a program asks for a trace, with `{}` for its id.
        read: the spans of such an answer.
        otlp: where it takes OTLP over http; empty where it does not.
        exporters: how the Collector sends to it.
    """

    name: str
    child: Child
    page: str
    api: str
    read: Callable[[bytes], tuple[TraceSpan, ...]]
    otlp: str = ""
    exporters: Mapping[str, object] = field(default_factory=dict)

    def spans(self, trace_ids: Sequence[str]) -> tuple[TraceSpan, ...]:
        """What it has of some traces, now.

        Raises:
            ServiceError: it does not answer, or not as it used to.
        """
        found: list[TraceSpan] = []
        for trace_id in trace_ids:
            url = self.api.format(trace_id)
            try:
                answer = httpx.get(url, timeout=ASK_LIMIT_S, trust_env=False)
            except httpx.HTTPError as error:
                raise ServiceError(
                    f"{self.name} does not answer at {url}: {str(error) or type(error).__name__}",
                    "wait until it has started, or give it more memory",
                ) from None
            if answer.status_code == httpx.codes.NOT_FOUND:
                continue
            try:
                answer.raise_for_status()
                found += self.read(answer.content)
            except (httpx.HTTPStatusError, msgspec.DecodeError) as error:
                raise ServiceError(
                    f"{self.name} answers {answer.status_code} and no trace at {url}: {error}",
                    "get the version that this was written for with `tracing-overhead backends`",
                ) from None
        return tuple(found)

    def wait_for(self, spans: Sequence[TraceSpan]) -> None:
        """Returns once it has the same tree.

        Args:
            spans: as the receiver got them.

        Raises:
            ServiceError: it does not have it after a while, or not the same one.
        """
        expected, ids = tree(spans), tuple(traces(spans))
        deadline = time.monotonic() + READ_LIMIT_S
        while (has := tree(self.spans(ids))) != expected:
            self.child.check()
            if time.monotonic() > deadline:
                raise ServiceError(
                    f"{self.name} has {(has & expected).total()} of the {expected.total()} spans that "
                    "the receiver got"
                    + (f", and {(has - expected).total()} others" if has - expected else ""),
                    "find out which component loses or changes spans: the backend has a log of its own",
                )
            time.sleep(LOOK_S)

    def stop(self) -> None:
        """Stops it; its traces are gone."""
        self.child.stop(STOP_LIMIT_S)


def begin(name: str, logs: Path) -> Backend:
    """A backend, listening.

    Raises:
        UsageError: it is not installed.
        ServiceError: it does not start.
    """
    return {"jaeger": _jaeger, "zipkin": _zipkin, "aspire": _aspire}[name](logs)


def _jaeger(logs: Path) -> Backend:
    otlp, http, grpc = ports = free_ports(3)
    configuration = {
        "extensions": {
            "jaeger_storage": {"backends": {"memory": {"memory": {"max_traces": 10000}}}},
            "jaeger_query": {
                "storage": {"traces": "memory"},
                "http": {"endpoint": f"{HOST}:{http}"},
                "grpc": {"endpoint": f"{HOST}:{grpc}"},
            },
        },
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"{HOST}:{otlp}"}}}},
        "exporters": {"jaeger_storage_exporter": {"trace_storage": "memory"}},
        "service": {
            "extensions": ["jaeger_storage", "jaeger_query"],
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": {"traces": {"receivers": ["otlp"], "exporters": ["jaeger_storage_exporter"]}},
        },
    }
    file = logs / "jaeger.yaml"
    file.write_text(json.dumps(configuration), "utf-8")
    return Backend(
        name="jaeger",
        child=start("jaeger", ["--config", str(file)], logs, ports),
        page="",
        api=f"http://{HOST}:{http}/api/v3/traces/{{}}",
        read=readback.jaeger,
        otlp=f"http://{HOST}:{otlp}",
        exporters={"otlp_http/jaeger": {"endpoint": f"http://{HOST}:{otlp}"}},
    )


def _zipkin(logs: Path) -> Backend:
    (port,) = ports = free_ports(1)
    listening = {"ip": HOST, "port": port, "protocols[0]": "http"}
    arguments = [f"--armeria.ports[0].{name}={value}" for name, value in listening.items()]
    launcher = ["java", "-Xmx256m", "-jar"]
    url = f"http://{HOST}:{port}/zipkin"
    return Backend(
        name="zipkin",
        child=start("zipkin", arguments, logs, ports, launcher=launcher),
        page=f"{url}/traces/{{}}",
        api=f"{url}/api/v2/trace/{{}}",
        read=readback.zipkin,
        exporters={"zipkin": {"endpoint": f"http://{HOST}:{port}/api/v2/spans"}},
    )


def _aspire(logs: Path) -> Backend:
    page, http, grpc = ports = free_ports(3)
    options = {
        "ASPNETCORE_URLS": f"http://{HOST}:{page}",
        "ASPIRE_DASHBOARD_OTLP_HTTP_ENDPOINT_URL": f"http://{HOST}:{http}",
        "ASPIRE_DASHBOARD_OTLP_ENDPOINT_URL": f"http://{HOST}:{grpc}",
        "ASPIRE_DASHBOARD_UNSECURED_ALLOW_ANONYMOUS": "true",
        "ASPIRE_DASHBOARD_API_ENABLED": "true",
    }
    arguments = ["dashboard", *(f"--{name}={value}" for name, value in options.items())]
    # It keeps keys in HOME; give it a home of its own.
    environ = {"HOME": str(logs), "ASPIRE_DASHBOARD_TELEMETRY_OPTOUT": "true"}
    url = f"http://{HOST}:{page}"
    return Backend(
        name="aspire",
        child=start("aspire", arguments, logs, ports, environ),
        page=f"{url}/traces/detail/{{}}",
        api=f"{url}/api/telemetry/traces/{{}}",
        read=readback.aspire,
        otlp=f"http://{HOST}:{http}",
    )
