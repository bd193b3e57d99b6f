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

from nat_lb.faults import FaultLog
from nat_lb.flow import describe
from nat_lb.io.inject import MARK
from nat_lb.plugins import CORE
from nat_lb.verdict import NotForwarded, Reason, Stage, Verdict

log = logging.getLogger(__name__)

Process = Callable[[bytes, float, Stage], Verdict]
Send = Callable[[bytes], None]

_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING = range(5)
_STAGES = tuple(
    Stage.BEFORE_ROUTING if hook in (_PREROUTING, _OUTPUT) else Stage.AFTER_ROUTING
    for hook in (_PREROUTING, _INPUT, _FORWARD, _OUTPUT, _POSTROUTING)
)


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


class Handler:
    """Makes the queue's callback, `handle`, and tells it when to give the loop a turn, `until`.

    `not_forwarded` counts the packets that were dropped or answered.
    """

    def __init__(self, process: Process, send: Send, clock: Callable[[], float], name: str) -> None:
        self.not_forwarded = 0
        self._name = name
        self._faults = FaultLog(lambda error: CORE)  # a plugin's own faults end further in, and are told there
        self._send = send
        self.handle, self.until = self._closure(process, clock)

    @property
    def faults(self) -> int:
        """How often something was raised."""
        return self._faults.counts.total()

    def report(self, subject: str, error: BaseException, now: float) -> None:
        """Count and log what was raised when it was about `subject`: a packet, or other work of the queue's loop."""
        self._faults.report(self._name, subject, error, now)

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
        self.report("one packet", error, now)
