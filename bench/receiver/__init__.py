"""The receiver: an OTLP receiver in a process of its own, and the accounting of every span.

It answers at once and keeps raw bodies; nothing is decoded while a run measures. A span belongs to
the setup that its resource names, whatever way it came.
"""
