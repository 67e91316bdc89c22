"""The tab "Tracing overhead" of Locust's web UI: its data, its CSV and the script that draws it.

Locust shows an extra tab and a table of its own for it, but reads its data only while a test
runs; what was lost is known after that. So the tab is Locust's and what stands in it is ours.
"""

import csv
import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from flask import Blueprint, Response, jsonify

from bench.app.records import Setup
from bench.app.setups import sampling_ratio
from locustfiles.explorer import Explorer

KEY = "tracing-overhead"
TITLE = "Tracing overhead"
SCRIPT = Path(__file__).with_name("tab.js")
INDEX = "/"


def add_tab(web_ui: Any, explorer: Explorer, setups: Iterable[Setup]) -> None:  # noqa: ANN401
    """Adds the tab to a web UI, and to its start form what each setup is."""
    blueprint = Blueprint("overhead", __name__, url_prefix="/overhead")

    @blueprint.route("/data")
    @web_ui.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def data() -> Response:
        return jsonify({"runs": explorer.rows(), "error": explorer.error})

    @blueprint.route("/csv")
    @web_ui.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def download() -> Response:
        disposition = {"Content-Disposition": "attachment; filename=tracing-overhead.csv"}
        return Response(to_csv(explorer.rows()), mimetype="text/csv", headers=disposition)

    @blueprint.route("/setups")
    @web_ui.auth_required_if_enabled  # type: ignore[untyped-decorator]
    def descriptions() -> Response:
        return jsonify(
            {setup.name: {"group": _group(setup), "description": setup.description} for setup in setups}
        )

    @blueprint.route("/tab.js")
    def script() -> Response:
        return Response(SCRIPT.read_text("utf-8"), mimetype="text/javascript")

    @web_ui.app.after_request  # type: ignore[untyped-decorator]
    def add_script(response: Response) -> Response:
        from flask import request

        if request.path == INDEX and response.mimetype == "text/html":
            page = response.get_data(as_text=True)
            response.set_data(page.replace("</body>", '<script src="./overhead/tab.js"></script></body>'))
        return response

    web_ui.app.register_blueprint(blueprint)
    web_ui.template_args["extended_tabs"] = [{"title": TITLE, "key": KEY}]
    web_ui.template_args["extended_csv_files"] = [{"href": "/overhead/csv", "title": f"Download {TITLE} CSV"}]


def _group(setup: Setup) -> str:
    """Under which heading the start form lists a setup."""
    ratio = sampling_ratio(setup)
    if setup.tracing == "none":
        return "Without tracing"
    if not ratio:
        return "Nothing exported"
    if ratio < 1:
        return "A part sampled"
    return "Everything, each span as it ends" if setup.tracing == "simple" else "Everything, in batches"


def to_csv(rows: list[dict[str, object]]) -> str:
    """The runs as CSV; the heads carry the units."""
    text = io.StringIO()
    if rows:
        writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return text.getvalue()
