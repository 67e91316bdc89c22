"""Settings of all tests."""

import os

import pytest
from hypothesis import settings

# What nox tells of itself: hints are tested as somebody reads them who has installed the command.
os.environ.pop("NOX_CURRENT_SESSION", None)
# Tables have the same width in whatever terminal the tests run.
os.environ.pop("COLUMNS", None)

# No deadline: a busy machine is slow, not wrong. The same examples every time.
settings.register_profile("bench", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("bench")


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fuzz 100`: so many times as many hostile inputs, and others than before."""
    parser.addoption(
        "--fuzz", type=int, default=1, help="factor of the number of hostile inputs that are tried"
    )


@pytest.fixture(scope="session")
def fuzz(request: pytest.FixtureRequest) -> int:
    """How many times as many hostile inputs are tried."""
    return int(request.config.getoption("--fuzz"))
