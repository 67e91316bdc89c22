"""Microbenchmarks: what one operation of tracing costs, timed by pyperf.

Every reading is made by a process of its own (`worker`); the harness (`runner`) decides
the order and never imports OpenTelemetry.
Readings are interleaved: every round times all operations once, in an order shuffled anew, and
every value stands between two readings of a reference operation: the same loop runs at half its speed
a second later.
Every operation proves that it does what its name says: the spans that it claims to have
ended have ended, what it exported is at the receiver. What cannot prove it has no figure.
What is timed is the CPU time of the worker process, all threads: what tracing takes away
from the service. Waiting for the receiver is not on it.
"""
