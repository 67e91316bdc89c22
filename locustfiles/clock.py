"""A clock for a load generator: wakes a greenlet at a planned time, to a tenth of a millisecond."""

import ctypes
import os
import struct
import time

import gevent

TIMER_ABSOLUTE = 1


class Clock:
    """Wakes one greenlet at a time of the monotonic clock.

    gevent's own timers round up to whole milliseconds; a timerfd watched by its hub is
    late by a tenth of one. (Python has timerfds from 3.13 on.)
    """

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._libc.timerfd_create(time.CLOCK_MONOTONIC, os.O_NONBLOCK)
        if self._fd < 0:
            raise OSError(ctypes.get_errno(), "timerfd_create")
        hub = gevent.get_hub()
        self._hub = hub
        self._watcher = hub.loop.io(self._fd, 1)

    def sleep_until(self, when_ns: int) -> None:
        """Returns at `when_ns`, or at once if that is past."""
        if when_ns <= time.monotonic_ns():
            return
        # struct itimerspec: interval (none), then the absolute time.
        spec = struct.pack("qqqq", 0, 0, *divmod(when_ns, 1_000_000_000))
        if self._libc.timerfd_settime(self._fd, TIMER_ABSOLUTE, spec, None) != 0:
            raise OSError(ctypes.get_errno(), "timerfd_settime")
        # What the timer has counted is not read: arming it again forgets that.
        self._hub.wait(self._watcher)

    def close(self) -> None:
        """Lets go of the timer."""
        os.close(self._fd)
