"""Microbenchmarks: what one operation of tracing costs, timed by pyperf."""
