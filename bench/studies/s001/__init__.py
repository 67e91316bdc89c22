"""Scenario S001 of OpenTelemetry's cross-language benchmarks, timed by pyperf in processes of its own."""
