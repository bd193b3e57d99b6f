"""One queued packet, from the kernel and back: the callback that the queue runs.

The law: every packet gets exactly one verdict, whatever is raised on the way, and a packet that was translated before
routing carries `MARK` from then on, so that it is not translated again after routing.

What a known connection's packet needs is a local of one closure, and nothing is counted for it: the kernel counts.
"""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Callable
from typing import Protocol

from nat_lb.flow import describe
from nat_lb.io.inject import MARK
from nat_lb.verdict import NotForwarded, Reason, Stage, Verdict

log = logging.getLogger(__name__)

Process = Callable[[bytes, float, Stage], Verdict]
Send = Callable[[bytes], None]

_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING = range(5)
_STAGES = tuple(
    Stage.BEFORE_ROUTING if hook in (_PREROUTING, _OUTPUT) else Stage.AFTER_ROUTING
    for hook in (_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING)
)
_LOG_INTERVAL = 60.0


class QueuedPacket(Protocol):
    """What of NetfilterQueue's Packet is used."""

    hook: int
    mark: int

    def get_payload(self) -> bytes:
        """Return the bytes from the IP header on."""

    def set_payload(self, payload: bytes) -> None:
        """Replace them."""

    def set_mark(self, mark: int) -> None:
        """Replace the firewall mark."""

    def accept(self) -> None:
        """Let the packet go on."""

    def drop(self) -> None:
        """End the packet."""


class BatchEnd(Exception):
    """Raised out of the callback, after the verdict, when the loop's other work is due."""


class Faults:
    """Counts what went wrong in code that was called here; logs it at most once a minute, with its traceback."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self._unsaid = 0
        self._next = -math.inf

    def report(self, what: str, error: BaseException, now: float) -> None:
        """Note that `error` was raised by `what`."""
        self.count += 1
        if now < self._next:
            self._unsaid += 1
            return
        since = f" ({self._unsaid} more since the last such line)" if self._unsaid else ""
        log.error("%s: %s: %s: %s%s", self.name, what, type(error).__name__, error, since, exc_info=error)
        self._next, self._unsaid = now + _LOG_INTERVAL, 0


class Handler:
    """Makes the queue's callback, `handle`, and tells it when to give the loop a turn, `until`.

    `not_forwarded` counts the packets that were dropped or answered, `faults` those on which something was raised.
    """

    def __init__(self, process: Process, send: Send, clock: Callable[[], float], name: str) -> None:
        self.not_forwarded = 0
        self.faults = Faults(name)
        self._send = send
        self.handle, self.until = self._closure(process, clock)

    def _closure(
        self, process: Process, clock: Callable[[], float]
    ) -> tuple[Callable[[QueuedPacket], None], Callable[[float], None]]:
        deadline = math.inf
        stages, before = _STAGES, Stage.BEFORE_ROUTING
        rare, fail = self._rare, self._fail

        def handle(packet: QueuedPacket) -> None:
            now = clock()
            try:
                data = packet.get_payload()
                stage = stages[packet.hook]
                verdict = process(data, now, stage)
                if verdict is data:
                    packet.accept()
                elif type(verdict) is bytes:
                    packet.set_payload(verdict)
                    if stage is before:
                        packet.set_mark(packet.mark | MARK)
                    packet.accept()
                else:
                    rare(packet, verdict, stage)
            except BaseException as error:
                fail(packet, error, now)
            if now >= deadline:
                raise BatchEnd

        def until(moment: float) -> None:
            nonlocal deadline
            deadline = moment

        return handle, until

    def _rare(self, packet: QueuedPacket, verdict: Verdict, stage: Stage) -> None:
        if isinstance(verdict, NotForwarded):
            self._refuse(packet, verdict)
            return
        if not isinstance(verdict, bytes | bytearray):
            raise TypeError(f"expected bytes or NotForwarded for a verdict, found {type(verdict).__name__}")
        packet.set_payload(bytes(verdict))
        if stage is Stage.BEFORE_ROUTING:
            packet.set_mark(packet.mark | MARK)
        packet.accept()

    def _refuse(self, packet: QueuedPacket, verdict: NotForwarded) -> None:
        # The director's own affairs with a real server, such as a health check: its stack knows the connection.
        if packet.hook == _INPUT and verdict.reason is Reason.REPLY_WITHOUT_CONNECTION:
            packet.accept()
            return
        self.not_forwarded += 1
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s - %s", describe(packet.get_payload()), verdict.reason.value)
        packet.drop()
        for answer in verdict.packets:
            self._send(answer)

    def _fail(self, packet: QueuedPacket, error: BaseException, now: float) -> None:
        with contextlib.suppress(RuntimeError):  # it has had its verdict: what failed came after
            packet.drop()
        if not isinstance(error, Exception):
            raise error
        self.faults.report("one packet dropped", error, now)
