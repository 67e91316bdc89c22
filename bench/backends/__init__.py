"""Real tools that a trace can go through: collectors on its way, and backends that show it.

Reading order: `catalogue` (what there is), `install` (how it is got), `collector` (one between the
services and the sink), `backend` (one that keeps traces), `readback` (what its API says of a trace).

Rule 1: nothing here is a dependency: a tool stands in an ignored folder, got once, or it is not there
and whoever asks for it is told what to do.
"""
