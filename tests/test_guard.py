"""Who may use the web UI."""

import pytest
from flask import Flask

from locustfiles.guard import keep_out_strangers


@pytest.mark.parametrize(
    ("headers", "path", "status"),
    [
        ({}, "/stop", 200),
        ({"Host": "localhost:8089"}, "/stop", 200),
        ({"Host": "[::1]:8089"}, "/stop", 200),
        ({"Host": "evil.example"}, "/stop", 403),
        ({"Host": "[::1"}, "/stop", 403),
        ({"Origin": "http://127.0.0.1"}, "/stop", 200),
        ({"Origin": "http://127.0.0.1:81"}, "/stop", 403),
        ({"Origin": "http://["}, "/stop", 403),
        ({"Origin": "null"}, "/stop", 403),
        ({"Sec-Fetch-Site": "cross-site"}, "/stop", 403),
        ({"Sec-Fetch-Site": "same-origin"}, "/stop", 200),
        ({"Sec-Fetch-Site": "cross-site"}, "/", 200),
    ],
)
def test_only_the_page_itself_and_programs_are_answered(
    headers: dict[str, str], path: str, status: int
) -> None:
    app = Flask("web")
    keep_out_strangers(app)
    app.add_url_rule("/", "index", lambda: "ok")
    app.add_url_rule("/stop", "stop", lambda: "ok")
    answer = app.test_client().get(path, headers={"Host": "127.0.0.1", **headers})
    assert answer.status_code == status
