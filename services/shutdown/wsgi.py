"""The application for servers of WSGI: Flask, which the agent instruments."""

from app import handle
from flask import Flask

app = Flask("shutdown")


@app.get("/")
def index() -> bytes:
    """One request."""
    answer: bytes = handle()
    return answer


@app.get("/ready")
def ready() -> bytes:
    """Nothing."""
    return b"ready"
