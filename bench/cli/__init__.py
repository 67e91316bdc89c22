"""The commands of `python -m bench`, a module each: parse, call, print; no measuring logic.

Rule 1: results go to stdout, progress to stderr.
Rule 2: a command returns its exit code, or raises a `BenchError`, which the command line prints.
"""
