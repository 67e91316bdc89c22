"""Settings of all tests."""

import os

from hypothesis import settings

# What nox tells of itself: hints are tested as somebody reads them who has installed the command.
os.environ.pop("NOX_CURRENT_SESSION", None)

# No deadline: a busy machine is slow, not wrong. The same examples every time.
settings.register_profile("bench", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("bench")
