"""What a run will do, decided before its first time slice, and the records of what it then read.

Everything follows from the plan's seed: every time slice, every arrival, every order. Nothing here reads
a clock or a file.
"""
