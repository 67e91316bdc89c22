"""Figures for people and CI: terminal, Markdown and page from one document, JUnit and JSON.

`words` scales and rounds numbers, so that all outputs agree. Absolute first, relative second, always with an
interval. Rows with an invalid figure are red.
"""
