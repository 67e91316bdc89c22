"""Real instances of the built-in application, outside of any run."""

from collections.abc import Mapping
from pathlib import Path

from bench.app.file import parse_app
from bench.app.records import Setup
from bench.testbed.environ import Launch, Place
from bench.testbed.ports import free_ports

FILE = Path(__file__).parent.parent / "services" / "checkout.toml"
APP = parse_app(FILE.read_text("utf-8").replace(" --upstream-timeout 60", ""), FILE.name)
SERVICES = tuple(process.name for process in APP.process)
TAKEN: set[int] = set()


def launch(setup: Setup, tmp: Path, endpoints: Mapping[str, str]) -> Launch:
    """How an instance is started."""
    ports = free_ports(len(SERVICES), TAKEN)
    return Launch(
        app=APP,
        place=Place(folder=FILE.parent),
        setup=setup,
        ports=dict(zip(SERVICES, ports, strict=True)),
        tmp=tmp / setup.name,
        endpoints=endpoints,
    )
