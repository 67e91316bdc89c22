"""Locust files: `planned` drives measured runs, `checkout` is a person's load."""
