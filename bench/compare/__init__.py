"""Several results: what changed between them, whether that may be merged, how it developed.

Only changes against each run's own baseline are compared, never absolutes: what a request costs in
microseconds depends on the machine, what tracing adds to it in percent much less.
"""
