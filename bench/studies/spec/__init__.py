"""The report that OpenTelemetry's performance-benchmark document asks of an SDK."""

SERVICE = "emitter000"
"""How the emitter calls itself: ten characters, as the specification asks; the receiver counts by it."""
