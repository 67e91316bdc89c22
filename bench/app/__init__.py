"""What is measured: an application and the ways to trace it, as data read from TOML files.

Nothing here starts a process or reads a clock.
"""
