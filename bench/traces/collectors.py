"""A collector between the services and the receiver: otelcol, rotel, or one that runs elsewhere.

It is configured as its own documentation recommends, and no faster: a limit of memory,
batches, gzip.
Everything that it passes on is in the accounting; what it needs itself is read apart, and is
no part of what tracing costs a service.
"""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from bench.errors import ServiceError, UsageError
from bench.plan.records import Plan
from bench.receiver.decoding import MARKER
from bench.receiver.messages import DRAIN_LIMIT_S, SETUP_ATTRIBUTE
from bench.testbed.collector import Collector
from bench.testbed.pids import pin
from bench.testbed.ports import free_ports
from bench.testbed.process import Child, undone_on_failure
from bench.testbed.receiver import Receiver
from bench.traces.catalogue import COLLECTORS, TOOLS
from bench.traces.program import HOST, start

SAMPLING = "otelcol"
"""The collector that can sample traces at their end."""
DECISION_WAIT_S = 2
"""How long it waits for the spans of a trace."""
REMEMBERED_TRACES = 200_000
"""How many sampling decisions it remembers: more than a replicate has traces."""
RECEIVER_PORTS = (14318, 14317)
"""Where the receiver listens, http and grpc, for a collector elsewhere, which has OTLP's own ports."""


def parse(text: str) -> str:
    """A collector as the command line names it: a tool, or one or two addresses, without a signal's path.

    Raises:
        ValueError: it is neither.
    """
    if text in COLLECTORS:
        return text
    addresses = [address.strip().rstrip("/").removesuffix("/v1/traces") for address in text.split(",")]
    if len(addresses) > 2:
        raise ValueError(f"{text!r} names more than two addresses: one for http, and one for grpc")
    for url in addresses:
        at = urlsplit(url)
        if at.scheme not in {"http", "https"} or not at.hostname or at.port is None:
            raise ValueError(
                f"{text!r} is neither {' nor '.join(COLLECTORS)} nor an address like http://{HOST}:4318"
            )
        if at.username or at.password:
            raise ValueError("an address is stored with the results: leave user and password out of it")
        if at.query or at.fragment:
            raise ValueError(f"{text!r} has more than an address: leave out what follows '?' or '#'")
    return ",".join(addresses)


def is_elsewhere(name: str) -> bool:
    """Whether a collector is one that somebody else starts."""
    return bool(name) and name not in COLLECTORS


def starter(plan: Plan) -> Callable[[Receiver, Path], Collector]:
    """Starts a plan's collector once the receiver is there."""
    kept = {setup.name: setup.collector_sampling for setup in plan.setups}
    if min(kept.values()) == 1:
        kept = {}
    return lambda receiver, logs: begin(plan.collector, receiver, logs, plan.other_cpus, kept)


def begin(
    name: str,
    receiver: Receiver,
    logs: Path,
    cpus: tuple[int, ...] = (),
    kept: Mapping[str, float] = MappingProxyType({}),
) -> Collector:
    """The collector that a plan names; a first span has come through it.

    Args:
        name: as `parse` returns it.
        receiver: to which it passes everything on.
        logs: where what it says is kept.
        cpus: that it keeps to; empty: not pinned.
        kept: share of the traces that it passes on, by setup; empty: all, and it does not sample.

    Raises:
        UsageError: it is not installed.
        ServiceError: it does not start, or the span did not arrive.
    """
    made = _begun(name, receiver, logs, cpus, kept)
    with undone_on_failure(made.stop):
        _send_first_span(made, receiver)
    return made


def _send_first_span(collector: Collector, receiver: Receiver) -> None:
    if collector.drain(receiver):
        return
    collector.check()
    http, grpc = (receiver.endpoints[protocol] for protocol in ("http/protobuf", "grpc"))
    raise ServiceError(
        f"a span sent to the collector at {collector.endpoints['http/protobuf']} does not come to the "
        "receiver",
        f"start it, and let it export to {http} (http) or {grpc} (grpc) within {DRAIN_LIMIT_S:.0f} s",
    )


def _begun(
    name: str, receiver: Receiver, logs: Path, cpus: tuple[int, ...], kept: Mapping[str, float]
) -> Collector:
    if is_elsewhere(name):
        http, _, grpc = name.partition(",")
        # A setup that exports over grpc needs a second address; `check_protocols` reports a missing one.
        return Collector(name, "", {"http/protobuf": http} | ({"grpc": grpc} if grpc else {}))
    ports = free_ports(2)
    target = receiver.endpoints["http/protobuf"]
    if name == "rotel":
        child = _rotel(ports, target, logs)
    else:
        child = otelcol(ports, {"otlp_http/receiver": {"endpoint": target}}, logs, kept)
    if cpus:
        pin([child.pid], cpus)
    return Collector(name, TOOLS[name].version, _endpoints(ports), child)


def fan_out(receiver: Receiver, exporters: Mapping[str, object], logs: Path) -> Collector:
    """An otelcol that passes everything on to the receiver and to a trace backend.

    Args:
        receiver: gets all of it.
        exporters: of the backend, in the Collector's configuration.
        logs: where what it says is kept.

    Raises:
        UsageError: otelcol is not installed.
        ServiceError: it does not start.
    """
    ports = free_ports(2)
    both = {"otlp_http/receiver": {"endpoint": receiver.endpoints["http/protobuf"]}, **exporters}
    return Collector("otelcol", TOOLS["otelcol"].version, _endpoints(ports), otelcol(ports, both, logs))


def _endpoints(ports: Sequence[int]) -> dict[str, str]:
    return {
        protocol: f"http://{HOST}:{port}"
        for protocol, port in zip(("http/protobuf", "grpc"), ports, strict=True)
    }


def tail_sampling(kept: Mapping[str, float]) -> dict[str, object]:
    """The tail sampling processor's configuration: the share of each setup's traces that it keeps."""

    def of(name: str, setups: Sequence[str]) -> dict[str, object]:
        attribute = {"key": SETUP_ATTRIBUTE, "values": list(setups)}
        return {"name": name, "type": "string_attribute", "string_attribute": attribute}

    whole = [MARKER, *(setup for setup, share in kept.items() if share == 1)]
    return {
        "decision_wait": f"{DECISION_WAIT_S}s",
        "num_traces": REMEMBERED_TRACES,
        # Spans of a trace come in several exports; later ones get the decision on the first.
        "decision_cache": dict.fromkeys(("sampled_cache_size", "non_sampled_cache_size"), REMEMBERED_TRACES),
        "policies": [
            of("everything", whole),
            *(
                {
                    "name": f"a share of {setup}",
                    "type": "and",
                    "and": {
                        "and_sub_policy": [
                            of(setup, [setup]),
                            {
                                "name": f"{share:.0%}",
                                "type": "probabilistic",
                                "probabilistic": {"sampling_percentage": share * 100},
                            },
                        ]
                    },
                }
                for setup, share in kept.items()
                if share < 1
            ),
        ],
    }


def configuration(
    ports: Sequence[int],
    exporters: Mapping[str, object],
    kept: Mapping[str, float] = MappingProxyType({}),
) -> dict[str, object]:
    """The Collector's configuration: OTLP in, a limit of memory, tail sampling if asked, batches, and out."""
    http, grpc = ports
    pipeline = {
        "receivers": ["otlp"],
        # In this order: what is over the limit is refused before it waits in a batch.
        "processors": ["memory_limiter", "batch"],
    }
    sampling = {"processors": ["memory_limiter", "tail_sampling", "batch"]} if kept else {}
    # Zipkin's exporter knows nothing but traces.
    measuring = [name for name in exporters if name.startswith("otlp_http")]
    return {
        "receivers": {
            "otlp": {
                "protocols": {
                    "http": {"endpoint": f"{HOST}:{http}"},
                    "grpc": {"endpoint": f"{HOST}:{grpc}"},
                }
            }
        },
        "processors": {
            "memory_limiter": {"check_interval": "1s", "limit_mib": 512, "spike_limit_mib": 128},
            "batch": {},
            **({"tail_sampling": tail_sampling(kept)} if kept else {}),
        },
        "exporters": dict(exporters),
        "service": {
            # Its metrics would take a port of their own, and CPU that no span caused.
            "telemetry": {"metrics": {"level": "none"}, "logs": {"level": "warn"}},
            "pipelines": {
                "traces": {**pipeline, **sampling, "exporters": list(exporters)},
                **{
                    signal: {**pipeline, "exporters": measuring}
                    for signal in ("metrics", "logs")
                    if measuring
                },
            },
        },
    }


def otelcol(
    ports: Sequence[int],
    exporters: Mapping[str, object],
    logs: Path,
    kept: Mapping[str, float] = MappingProxyType({}),
) -> Child:
    """The OpenTelemetry Collector, listening on its ports for http and grpc.

    Raises:
        UsageError: it is not installed.
        ServiceError: it does not start.
    """
    file = logs / "otelcol.yaml"
    # JSON is YAML.
    file.write_text(json.dumps(configuration(ports, exporters, kept)), "utf-8")
    return start("otelcol", ["--config", str(file)], logs, ports)


def _rotel(ports: Sequence[int], target: str, logs: Path) -> Child:
    http, grpc = ports
    tool = TOOLS["rotel"]
    libdir = (tool.require().parent.parent / "libdir").read_text("utf-8").strip()
    arguments = [
        "start",
        *("--otlp-http-endpoint", f"{HOST}:{http}"),
        *("--otlp-grpc-endpoint", f"{HOST}:{grpc}"),
        *("--pid-file", str(logs / "rotel.pid")),
        *("--exporter", "otlp"),
        *("--otlp-exporter-protocol", "http"),
        *("--otlp-exporter-endpoint", target),
    ]
    path = os.environ.get("LD_LIBRARY_PATH")
    return start("rotel", arguments, logs, ports, {"LD_LIBRARY_PATH": f"{libdir}:{path}" if path else libdir})


def check_protocols(name: str, protocols: Mapping[str, str]) -> None:
    """Check that a collector can take what every setup exports.

    Args:
        name: of the collector.
        protocols: OTLP protocol by setup.

    Raises:
        UsageError: one exports over grpc, and the collector has no address for that.
    """
    unknown = [setup for setup, protocol in protocols.items() if protocol == "grpc"]
    if is_elsewhere(name) and "," not in name and unknown:
        raise UsageError(
            f"{', '.join(unknown)} exports over grpc, and --collector {name} names an address for http only",
            f"name both: --collector {name},http://HOST:4317",
        )
