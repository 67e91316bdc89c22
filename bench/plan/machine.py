"""What a run was measured on, as it is stored."""

from dataclasses import dataclass, field

UNKNOWN = "not known"
"""What stands for the version of a process whose `version` command failed; the reason follows in brackets."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """What a run was measured on; `machine.json`.

    Attributes:
        started: when, in ISO 8601, UTC.
        cpu: its model.
        cpus: of the machine.
        cpus_usable: by the run.
        services_cpus: those of the application; empty: not pinned.
        other_cpus: those of everything else.
        siblings: pairs of these that share a core.
        quota_cpus: how many CPUs a cgroup allows; absent without a limit.
        memory_bytes: of the machine.
        hypervisor: whether it is a virtual one.
        governor: of the CPU's clock; absent where it is unknown.
        system: the operating system.
        kernel: its release.
        architecture: of the CPU.
        libc: name and version.
        python: version.
        python_implementation: CPython, for example.
        pausing: how instances are stopped between their slices.
        packages: version of every installed package of the harness.
        app_python: implementation and version of the application's own Python; empty without one.
        app_packages: of the application's own environment.
        setup_packages: of the environments of setups with packages of their own.
        versions: what the processes' `version` commands said.
        setups: variables that configure tracing, by setup.
        collector: name and version of the one between application and receiver.
    """

    started: str = ""
    cpu: str = "unknown"
    cpus: int | None = None
    cpus_usable: int = 0
    services_cpus: tuple[int, ...] = ()
    other_cpus: tuple[int, ...] = ()
    siblings: tuple[tuple[int, ...], ...] = ()
    quota_cpus: float | None = None
    memory_bytes: int = 0
    hypervisor: bool = False
    governor: str | None = None
    system: str = ""
    kernel: str = ""
    architecture: str = ""
    libc: str = ""
    python: str = ""
    python_implementation: str = ""
    pausing: str = ""
    packages: dict[str, str] = field(default_factory=dict)
    app_python: str = ""
    app_packages: dict[str, str] = field(default_factory=dict)
    setup_packages: dict[str, dict[str, str]] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    setups: dict[str, dict[str, str]] = field(default_factory=dict)
    collector: str = ""
