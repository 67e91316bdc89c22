"""From raw records to figures, verdicts and caveats. Pure: no clock, no file, no socket.

Figures can be made again from the raw records at any time; an unknown figure is None, never 0.
"""
