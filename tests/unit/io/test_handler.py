"""One queued packet: exactly one verdict, whatever happens on the way."""

from __future__ import annotations

import pytest

from nat_lb.io.handler import BatchEnd, Handler, Process
from nat_lb.io.inject import MARK
from nat_lb.verdict import Drop, Reason, Reject, Stage, Verdict

PREROUTING, INPUT, FORWARD, OUTPUT, POSTROUTING = range(5)


class FakePacket:
    """Behaves as NetfilterQueue's: a second verdict is an error."""

    def __init__(self, hook: int = PREROUTING, mark: int = 0) -> None:
        self.hook, self.mark = hook, mark
        self.payload = b"before"
        self.verdicts: list[str] = []

    def get_payload(self) -> bytes:
        return self.payload

    def set_payload(self, payload: bytes) -> None:
        assert type(payload) is bytes
        self.payload = payload

    def set_mark(self, mark: int) -> None:
        self.mark = mark

    def accept(self) -> None:
        self._give("accept")

    def drop(self) -> None:
        self._give("drop")

    def _give(self, verdict: str) -> None:
        if self.verdicts:
            raise RuntimeError("Verdict already given for this packet")
        self.verdicts.append(verdict)


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def make(process: Process, sent: list[bytes] | None = None) -> tuple[Handler, Clock]:
    clock = Clock()
    return Handler(process, (sent if sent is not None else []).append, clock, "queue 0"), clock


def modify(data: bytes, now: float, stage: Stage) -> Verdict:
    return b"after"


@pytest.mark.parametrize(
    ("hook", "stage"),
    [
        (PREROUTING, Stage.BEFORE_ROUTING),
        (OUTPUT, Stage.BEFORE_ROUTING),
        (INPUT, Stage.AFTER_ROUTING),
        (FORWARD, Stage.AFTER_ROUTING),
        (POSTROUTING, Stage.AFTER_ROUTING),
    ],
)
def test_hook_tells_the_stage(hook: int, stage: Stage) -> None:
    seen = []
    handler, _ = make(lambda data, now, at: seen.append((data, now, at)) or data)  # type: ignore[func-returns-value]
    handler.handle(FakePacket(hook))
    assert seen == [(b"before", 100.0, stage)]


def test_same_object_is_accepted_untouched() -> None:
    packet = FakePacket(mark=5)
    make(lambda data, now, stage: data)[0].handle(packet)
    assert (packet.payload, packet.mark, packet.verdicts) == (b"before", 5, ["accept"])


@pytest.mark.parametrize("hook", [PREROUTING, OUTPUT])
@pytest.mark.parametrize("verdict", [b"after", bytearray(b"after")])
def test_packet_translated_before_routing_is_marked_beside_other_marks(hook: int, verdict: Verdict) -> None:
    packet = FakePacket(hook, mark=0x7)
    make(lambda data, now, stage: verdict)[0].handle(packet)
    assert (packet.payload, packet.mark, packet.verdicts) == (b"after", MARK | 0x7, ["accept"])


@pytest.mark.parametrize("hook", [INPUT, POSTROUTING])
def test_packet_translated_after_routing_keeps_its_mark(hook: int) -> None:
    packet = FakePacket(hook, mark=0x7)
    make(modify)[0].handle(packet)
    assert (packet.payload, packet.mark) == (b"after", 0x7)


def test_answer_is_sent_in_the_place_of_the_packet() -> None:
    sent: list[bytes] = []
    handler, _ = make(lambda data, now, stage: Reject(Reason.NO_SERVICE, b"reset", b"more"), sent)
    packet = FakePacket()
    handler.handle(packet)
    assert (packet.verdicts, sent, handler.not_forwarded) == (["drop"], [b"reset", b"more"], 1)


def test_real_servers_talk_to_the_director_itself_is_let_through() -> None:
    sent: list[bytes] = []
    orphan = Reject(Reason.REPLY_WITHOUT_CONNECTION, b"refusal")
    handler, _ = make(lambda data, now, stage: orphan, sent)
    to_director, through_it = FakePacket(INPUT), FakePacket(POSTROUTING)
    handler.handle(to_director)
    handler.handle(through_it)
    assert (to_director.verdicts, through_it.verdicts, sent) == (["accept"], ["drop"], [b"refusal"])


def test_fault_drops_the_packet_and_is_logged_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    def fail(data: bytes, now: float, stage: Stage) -> Verdict:
        raise ValueError("broken plugin")

    handler, _ = make(fail)
    packet = FakePacket()
    handler.handle(packet)
    assert (packet.verdicts, handler.faults) == (["drop"], 1)
    assert "nat-lb: queue 0 failed for one packet: ValueError: broken plugin" in caplog.text
    assert "Traceback" in caplog.text


@pytest.mark.parametrize("nonsense", [None, 7, "text", [3]])
def test_nonsense_for_a_verdict_drops_the_packet(nonsense: object) -> None:
    handler, _ = make(lambda data, now, stage: nonsense)  # type: ignore[arg-type,return-value]
    packet = FakePacket()
    handler.handle(packet)
    assert (packet.verdicts, handler.faults) == (["drop"], 1)


def test_fault_after_the_verdict_does_not_give_a_second_one() -> None:
    def fail(packet: bytes) -> None:
        raise OSError("no buffer")

    handler = Handler(lambda data, now, stage: Reject(Reason.NO_SERVICE, b"reset"), fail, Clock(), "queue 0")
    packet = FakePacket()
    handler.handle(packet)
    assert (packet.verdicts, handler.faults) == (["drop"], 1)


def test_interrupt_inside_a_packet_gives_a_verdict_and_goes_on() -> None:
    def interrupted(data: bytes, now: float, stage: Stage) -> Verdict:
        raise KeyboardInterrupt

    packet = FakePacket()
    with pytest.raises(KeyboardInterrupt):
        make(interrupted)[0].handle(packet)
    assert packet.verdicts == ["drop"]


def test_batch_ends_at_its_deadline_after_the_verdict() -> None:
    handler, clock = make(lambda data, now, stage: Drop(Reason.NO_SERVICE))
    handler.until(101.0)
    handler.handle(FakePacket())
    clock.now = 101.0
    packet = FakePacket()
    with pytest.raises(BatchEnd):
        handler.handle(packet)
    assert packet.verdicts == ["drop"]


def test_faults_are_logged_once_a_minute_and_all_counted(caplog: pytest.LogCaptureFixture) -> None:
    handler, _ = make(modify)
    for now in (0.0, 1.0, 59.9, 60.0):
        handler.report("timers", ValueError("late"), now)
    assert handler.faults == 4
    assert [record.getMessage() for record in caplog.records] == [
        "nat-lb: queue 0 failed for timers: ValueError: late",
        "nat-lb: queue 0 failed for timers: ValueError: late (2 more since the last report)",
    ]
