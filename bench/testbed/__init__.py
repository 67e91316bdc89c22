"""The real world of a run: processes, clocks, slices, load and receiver."""
