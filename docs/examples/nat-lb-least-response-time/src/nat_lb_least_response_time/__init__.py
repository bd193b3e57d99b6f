"""Least response time: the real server that answers soonest, as measured by somebody else.

A probe, a log reader or a metrics exporter writes a file with one line for each real server, `address:port seconds`,
again and again. Each new file is one sample a server, and a server's response time is the moving average of its
samples: a sample that comes `half_life` seconds after the one before counts half. A new connection goes to the usable
server with the least

    response time * (active connections + 1) / weight

so that the quickest server is not run over between two samples. A server without a sample is taken to be as quick as
the quickest, so that it gets traffic to be measured by. When the file was not written for `stale` seconds its numbers
say nothing any more: all servers count as equally quick, and the choice is by connections alone.

This is code and cannot be a plan: it needs to know what only Python reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from nat_lb.api import FlowKey, Options, RealServer, Scheduler, ServiceView, hookimpl


class LeastResponseTimeOptions(Options):
    """The table [service.scheduler_options] of "least-response-time"."""

    file: str = Field(min_length=1, description="Path of the file with the measurements.")
    refresh: float = Field(default=1.0, gt=0, description="Seconds between two looks at the file.")
    half_life: float = Field(default=10.0, gt=0, description="Seconds after which a sample counts half.")
    stale: float = Field(default=30.0, gt=0, description="Seconds without a new file after which none counts.")


class Average:
    """A moving average of samples that come at any times."""

    def __init__(self, seconds: float, now: float) -> None:
        self.seconds = seconds
        self.at = now

    def add(self, seconds: float, now: float, half_life: float) -> None:
        """Take in a sample; the longer ago the last one was, the more it counts."""
        self.seconds += (seconds - self.seconds) * (1 - 0.5 ** ((now - self.at) / half_life))
        self.at = now


def samples(text: str) -> Iterator[tuple[str, float]]:
    """Yield each line's endpoint and seconds; a line that is none, such as a half-written one, is passed over."""
    for line in text.splitlines():
        endpoint, _, number = line.strip().rpartition(" ")
        try:
            seconds = float(number)
        except ValueError:
            continue
        if endpoint and 0 < seconds < float("inf"):
            yield endpoint.strip(), seconds


class LeastResponseTime(Scheduler):
    """The scheduler "least-response-time"."""

    name = "least-response-time"
    options = LeastResponseTimeOptions

    def __init__(self, service: ServiceView, options: Any = None) -> None:
        self._averages: dict[str, Average] = {}  # by endpoint, as the file writes it
        super().__init__(service, options)
        self._look_at = self._fresh_until = float("-inf")
        self._seen = 0  # the time at which the file that was read last was written

    def schedule(self, flow: FlowKey) -> RealServer | None:
        """Return the usable server with the least expected response time."""
        now = self.service.now
        if now >= self._look_at:
            self._look_at = now + self.settings.refresh
            self._look(now)
        times = self._averages if now < self._fresh_until else {}
        quickest = min((average.seconds for average in times.values()), default=1.0)

        def expected(server: RealServer) -> float:
            average = times.get(str(server.endpoint))
            return (average.seconds if average else quickest) * (server.active + 1) / server.weight

        return min((server for server in self.service.real_servers if server.usable), key=expected, default=None)

    def changed(self) -> None:
        """Forget the measurements of servers that are gone."""
        super().changed()
        self._averages = {key: average for key, average in self._averages.items() if key in self._endpoints()}

    def measured(self, endpoint: str, seconds: float) -> None:
        """Take in a response time; call it from a hook of your own if you have no file."""
        now = self.service.now
        self._fresh_until = now + self.settings.stale
        average = self._averages.setdefault(endpoint, Average(seconds, now))
        average.add(seconds, now, self.settings.half_life)

    def _look(self, now: float) -> None:
        """Read the file if it was written since the last look; one that is not there is no news."""
        path = Path(self.settings.file)
        try:
            written = path.stat().st_mtime_ns
            text = path.read_text() if written != self._seen else ""
        except OSError:
            return
        self._seen = written
        for endpoint, seconds in samples(text):
            if endpoint in self._endpoints():
                self.measured(endpoint, seconds)

    def _endpoints(self) -> set[str]:
        return {str(server.endpoint) for server in self.service.real_servers}


@hookimpl
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:
    """Offer "least-response-time"."""
    return [LeastResponseTime]
