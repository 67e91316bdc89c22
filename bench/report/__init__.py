"""Figures for people: a terminal table and Markdown from one summary.

Only here are numbers scaled and rounded, in `words`; both outputs say the same.
Absolute first, relative second, always with an interval.
An invalid figure is shown in red, with its reason, and never as a plain number.
"""
