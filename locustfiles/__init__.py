"""Locust files: `planned` drives measured runs, `explore` is a person's load."""
