"""The real world of a run: processes, clocks, turns, load and sink."""
