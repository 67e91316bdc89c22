"""Figures for people: a terminal table and Markdown from one summary.

Rule 1: only here are numbers scaled and rounded, in `words`; both outputs say the same.
Rule 2: absolute first, relative second, always with an interval.
Rule 3: an invalid figure is shown in red, with its reason, and never as a plain number.
"""
