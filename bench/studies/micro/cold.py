"""What an operation costs once in a request: after other programs have had the CPU, with cold caches.

In a hot loop an operation finds its code and data in the caches and its branches predicted. In a service it
comes once a request, and between two requests the same CPU has done everything else. Here an untraced
request of an application on this very CPU comes before every single time.
"""

import http.client
import os
from collections.abc import Callable
from urllib.parse import urlsplit

from bench.studies.micro.timed import Subject, require, timed

URL_VARIABLE, BODY_VARIABLE = "BENCH_NEIGHBOUR", "BENCH_NEIGHBOUR_BODY"
SAMPLES = 100
PUT_OFF = 50
"""Number of operations whose deferred work is then done together, like the export of a batch."""


def neighbour() -> Callable[[], None] | None:
    """Something that uses this CPU for a while: a request of the application that the environment names."""
    url = urlsplit(os.environ.get(URL_VARIABLE, ""))
    if not url.netloc:
        return None
    connection = http.client.HTTPConnection(url.netloc)
    body = os.environ[BODY_VARIABLE]

    def ask() -> None:
        connection.request("POST", url.path, body, {"content-type": "application/json"})
        response = connection.getresponse()
        response.read()
        require(true=response.status < 300, otherwise="the neighbour did not answer as expected")

    return ask


def cold_s(subject: Subject, disturb: Callable[[], None], samples: int = SAMPLES) -> float:
    """The mean CPU seconds of one operation after `disturb`, minus the cost of reading the clock.

    Deferred work is done, and counted, as soon as enough of it has accumulated. Where it waits for an
    answer, others use the CPU once more: a request over loopback gives the CPU to its service.
    """
    clock = timed(lambda _loops: None)
    once = subject.put_off or (lambda: subject.time(1))
    total_s = 0.0
    subject.wait.meanwhile = disturb
    for number in range(samples):
        disturb()
        total_s += once() - subject.wait.spent_s()
        disturb()
        total_s -= clock(1)
        if subject.put_off and (number + 1) % PUT_OFF == 0:
            disturb()
            total_s += subject.drain()
    subject.wait.meanwhile = None
    return total_s / samples
