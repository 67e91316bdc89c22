"""Settings of all tests."""

from hypothesis import settings

# No deadline: a busy machine is slow, not wrong. The same examples every time.
settings.register_profile("bench", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("bench")
