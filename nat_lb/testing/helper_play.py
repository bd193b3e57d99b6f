"""One dialogue, played by two TCP stacks through a director that has the helper.

The law: the director is a whole one, made from TOML; only the network is played, and what may differ from one play to
the next is written down in a `Variation`, which makes the same play again.
"""

from __future__ import annotations

import copy
import logging
import random
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import chain
from typing import Any

from nat_lb.config import parse
from nat_lb.director import Director
from nat_lb.faults import FaultLog
from nat_lb.flow import Direction, Endpoint, FlowKey
from nat_lb.helper import Helper
from nat_lb.packet import UDP, Packet
from nat_lb.payload import TcpRewriter
from nat_lb.plugins import Registry
from nat_lb.scheduler import Cycle, Scheduler
from nat_lb.testing import packets
from nat_lb.testing.dialogue import Connects, Dialogue, Says
from nat_lb.testing.installed import registry, toml_table
from nat_lb.testing.packets import ACK, SYN
from nat_lb.testing.tcp_model import Result, Stack, TcpModel, Write
from nat_lb.verdict import NotForwarded

EPOCH = 1000.0  # seconds; the director's time when a play begins
SCHEDULER = "conformance"

log = logging.getLogger("nat_lb.helpers")


@dataclass(frozen=True, repr=False)
class Variation:
    """How a dialogue is carried; without arguments, each step is one segment and nothing goes wrong."""

    cut: tuple[int, int] | None = None  # a step's number, 0 for every one, and the octet before which it is cut in two
    octet_by_octet: bool = False
    merged: bool = False  # what one end says in a row is one segment
    second: bool = False  # the real server is not the first of its service
    seed: int = 0  # of the faults below
    loss: float = 0.0  # chances, each packet and leg
    duplicate: float = 0.0
    reorder: float = 0.0
    mss: int = 1460
    window: int = 65535
    sack: bool = True
    timestamps: bool = True
    nagle: bool = False
    recut: bool = True  # retransmissions have other boundaries
    patient: bool = True  # each step waits for those before it

    def __repr__(self) -> str:
        changed = [f for f in fields(self) if getattr(self, f.name) != f.default]
        return f"Variation({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in changed)})"


class InTurn(Scheduler):
    """The scheduler that plays use, so that no plugin has to be installed for it."""

    name = SCHEDULER

    def plan(self) -> Cycle:
        """Return the real servers once each."""
        return Cycle(self.service.real_servers)


class Faults(FaultLog):
    """Remembers what the helper raised instead of logging it."""

    def __init__(self, log: FaultLog) -> None:
        super().__init__(log._owner)
        self.raised: list[tuple[str, BaseException]] = []

    def report(self, where: str, subject: str, error: BaseException, now: float) -> None:
        self.counts[self._owner(error), where] += 1
        self.raised.append((where, error))


def registry_with(**offers: Mapping[str, type[Any]]) -> Registry:
    """Return the installed plugins, and these on top of them: `helpers={"name": Class}`."""
    result = copy.copy(registry())
    result.schedulers = {**result.schedulers, SCHEDULER: InTurn}
    for kind, classes in offers.items():
        setattr(result, kind, {**getattr(result, kind), **classes})
    return result


class Refusals(logging.Handler):
    """Keeps the helper's refusals to itself while a play lasts; hundreds of plays would flood a test's log."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.propagated = log.propagate

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage() not in self.lines[-20:]:
            self.lines.append(record.getMessage())

    def __enter__(self) -> Refusals:
        log.addHandler(self)
        self.propagated, log.propagate = log.propagate, False
        return self

    def __exit__(self, *_: object) -> None:
        log.removeHandler(self)
        log.propagate = self.propagated


class Play:
    """One run of one dialogue; `run` raises AssertionError if an end sees what no sound peer would send."""

    def __init__(
        self, helper: type[Helper], options: Mapping[str, Any], dialogue: Dialogue, variation: Variation
    ) -> None:
        self.dialogue = dialogue.merged() if variation.merged else dialogue
        self.variation = variation
        self.helper = helper
        toml = self._configuration(options)
        self.director = Director(parse(toml, "conformance.toml"), "conformance.toml", _registries(helper))
        self.lifecycle = self.director.lifecycle
        self.faults = self.lifecycle.faults = Faults(self.lifecycle.faults)
        self.most_held = 0  # octets of incomplete messages
        self.most_expected = 0  # expectations at one time
        self.object: Helper | None = None
        self.refusals = Refusals()
        self._due = [(number, step) for number, step in enumerate(self.dialogue.steps, 1) if isinstance(step, Connects)]
        self._port = 50000
        self._now = EPOCH
        self.model: TcpModel | Post = self._model()

    def run(self) -> Result | None:
        """Play to the end, the connections that were announced included."""
        if self.variation.second:
            self._take_first_turn(Endpoint(self.dialogue.client.address, self.dialogue.client.port + 1))
        with self.refusals:
            result = self.model.run()
        self._connect(everything=True)
        return result

    def _take_first_turn(self, other: Endpoint) -> None:
        """Let another client have the first real server."""
        self._process(packets.tcp(str(other), str(self.dialogue.virtual), SYN))

    @property
    def ends(self) -> dict[Direction, tuple[str, str]]:
        """Source and destination of what each end sends, as it sends it."""
        d = self.dialogue
        return {Direction.ORIGINAL: (str(d.client), str(d.virtual)), Direction.REPLY: (str(d.real), str(d.client))}

    def pour(self, said: Iterable[tuple[Direction, bytes]]) -> None:
        """Send octets through the director in one go, without two TCP stacks: nothing is lost, nothing acknowledged."""
        ends = self.ends
        first = {Direction.ORIGINAL: 1001, Direction.REPLY: 5001}
        at = dict(first)
        for way, flags in (Direction.ORIGINAL, SYN), (Direction.REPLY, SYN | ACK):
            self._process(packets.tcp(*ends[way], flags, seq=first[way] - 1, ack=first[Direction(1 - way)]))
        with self.refusals:
            for way, data in said:
                self._process(packets.tcp(*ends[way], ACK, data, seq=at[way], ack=first[Direction(1 - way)]))
                at[way] += len(data)
                self._note()

    def forget(self) -> tuple[int, int]:
        """Let all that was opened or expected expire; return how many connections and expectations remain."""
        [service] = self.lifecycle.services
        timeouts = chain.from_iterable(tracking.timeouts for tracking in service.trackings)
        patience = max(self.helper.expectation_timeout, *timeouts)
        for _ in range(4):
            self._now += patience + 1
            self.director.tick(self._now)
        return len(self.lifecycle.connections), len(self.lifecycle.expectations)

    def _configuration(self, options: Mapping[str, Any]) -> str:
        virtual, real = self.dialogue.virtual, self.dialogue.real
        names = [real, Endpoint(real.address + 1, real.port)]
        servers = "".join(
            f'  [[service.real_server]]\n  address = "{server.address}"\n  port = {server.port}\n'
            for server in (reversed(names) if self.variation.second else names)
        )
        table = f"  [service.helper_options.{self.helper.name}]\n{toml_table(options)}" if options else ""
        return (
            f'[[service]]\nname = "played"\nprotocol = "{self.helper.protocol}"\naddress = "{virtual.address}"\n'
            f'port = {virtual.port}\nscheduler = "{SCHEDULER}"\nhelpers = ["{self.helper.name}"]\n{table}{servers}'
        )

    def _model(self) -> TcpModel | Post:
        v, d = self.variation, self.dialogue
        common: dict[str, Any] = {
            "mss": v.mss, "window": v.window, "sack": v.sack, "timestamps": v.timestamps,
            "nagle": v.nagle, "recut": v.recut,
        }  # fmt: skip
        client = Stack(d.client, d.virtual, self._script(Direction.ORIGINAL), **common)
        server = Stack(d.real, d.client, self._script(Direction.REPLY), **common)
        rng = random.Random(v.seed)
        return TcpModel(client, server, self._box, rng, loss=v.loss, duplicate=v.duplicate, reorder=v.reorder)

    def _script(self, own: Direction) -> list[Write]:
        """Return what one end's application writes, and when; it closes when it has read everything."""
        script = []
        peer = Direction(1 - own)
        for number, step in self.dialogue.says:
            if step.sender is own:
                wait = len(self.dialogue.arrived(peer, number))
                script += [self._write(part, wait, number) for part in self._parts(number, step)]
        return [*script, self._write(b"", len(self.dialogue.arrived(peer)), len(self.dialogue.steps) + 1)]

    def _write(self, data: bytes, wait: int, number: int) -> Write:
        if not self.variation.patient:
            return Write(data, at=number * 0.05)
        return Write(data, after=lambda read: len(read) >= wait)

    def _parts(self, number: int, step: Says) -> Sequence[bytes]:
        if self.variation.octet_by_octet:
            return [step.data[at : at + 1] for at in range(len(step.data))]
        which, at = self.variation.cut or (number, 0)
        parts = [step.data[:at], step.data[at:]] if which in (0, number) else [step.data]
        return [part for part in parts if part]

    def _box(self, packet: bytes, now: float) -> Sequence[bytes]:
        self._now = EPOCH + now
        self._connect()
        answer = self._process(packet)
        self._note()
        return answer

    def _note(self) -> None:
        self.most_held = max(self.most_held, self._held())
        self.most_expected = max(self.most_expected, len(self.lifecycle.expectations))

    def _process(self, packet: bytes) -> Sequence[bytes]:
        verdict = self.director.pipeline.process(packet, self._now)
        return verdict.packets if isinstance(verdict, NotForwarded) else [bytes(verdict)]

    def _held(self) -> int:
        held = 0
        for connection in self.lifecycle.connections:
            rewriter = connection.rewriter
            if rewriter is not None:
                self.object = self.object or rewriter._helper
            if isinstance(rewriter, TcpRewriter):
                held = max(held, *(len(stream.tail) for stream in rewriter._streams))
        return held

    def _connect(self, *, everything: bool = False) -> None:
        """Open the announced connections whose announcement has arrived."""
        while self._due and (everything or self._has_arrived(self._due[0][0])):
            number, step = self._due.pop(0)
            self._open(number, step)

    def _has_arrived(self, number: int) -> bool:
        ends = {Direction.ORIGINAL: self.model.server, Direction.REPLY: self.model.client}
        return all(len(end.received) >= len(self.dialogue.arrived(way, number)) for way, end in ends.items())

    def _open(self, number: int, step: Connects) -> None:
        """Send the announced connection's first two packets through the director."""
        self._port += 1
        source = Endpoint(step.source.address, step.source.port or self._port)
        seen_from = Endpoint(step.seen_from.address, step.seen_from.port or source.port)
        there = FlowKey(step.protocol, source, step.to)
        back = FlowKey(step.protocol, step.reaches, seen_from)
        for sent, flags, wanted in ((there, SYN, back.reversed()), (back, SYN | ACK, there.reversed())):
            ends = str(sent.source), str(sent.destination)
            packet = packets.udp(*ends) if step.protocol == UDP else packets.tcp(*ends, flags)
            verdict = self.director.pipeline.process(packet, self._now)
            became = repr(verdict) if isinstance(verdict, NotForwarded) else str(_flow(bytes(verdict)))
            if became != str(wanted):
                raise AssertionError(
                    f"step {number}, {step}: the packet {sent} became {became}, expected {wanted}; "
                    f"expected connections at this time: {self._expectations()}"
                )

    def _expectations(self) -> str:
        table = self.lifecycle.expectations
        found = [e for connection in self.lifecycle.connections for e in table.of(connection)]
        return ", ".join(f"one to {e.real or e.client}" for e in found) or "none"


class DatagramPlay(Play):
    """One run of one dialogue of datagrams: each step is one whole, and some come twice."""

    def __init__(
        self, helper: type[Helper], options: Mapping[str, Any], dialogue: Dialogue, variation: Variation
    ) -> None:
        super().__init__(helper, options, dialogue, replace(variation, merged=False))

    def pour(self, said: Iterable[tuple[Direction, bytes]]) -> None:
        with self.refusals:
            for way, data in said:
                self._process(packets.udp(*self.ends[way], data))
                self._note()

    def _take_first_turn(self, other: Endpoint) -> None:
        self._process(packets.udp(str(other), str(self.dialogue.virtual)))

    def _model(self) -> Post:
        rng = random.Random(self.variation.seed)
        again = [rng.random() < self.variation.duplicate for _ in self.dialogue.steps]
        return Post(self.dialogue, self.ends, self._box, again)


class Recipient:
    """What one end of a dialogue of datagrams has read."""

    def __init__(self) -> None:
        self.received = b""


class Post:
    """Carries a dialogue's datagrams in order; a step that is to come twice must arrive the same."""

    def __init__(
        self,
        dialogue: Dialogue,
        ends: Mapping[Direction, tuple[str, str]],
        box: Callable[[bytes, float], Sequence[bytes]],
        again: Sequence[bool],
    ) -> None:
        self.client, self.server = Recipient(), Recipient()
        self._dialogue, self._ends, self._box, self._again = dialogue, ends, box, again

    def run(self) -> None:
        """Carry everything; raises AssertionError if a datagram is not delivered, or not twice the same."""
        for number, step in self._dialogue.says:
            sent = packets.udp(*self._ends[step.sender], step.data)
            delivered = self._box(sent, number * 0.05)
            assert len(delivered) == 1, f"step {number}, {step}: it became {len(delivered)} packets"
            assert packets.checksums_are_right(delivered[0]), f"step {number}, {step}: it arrives with a wrong checksum"
            if self._again[number - 1]:
                twice = self._box(sent, number * 0.05)
                assert twice == delivered, f"step {number}, {step}: sent again, it arrives otherwise"
            reader = self.server if step.sender is Direction.ORIGINAL else self.client
            reader.received += Packet(delivered[0]).payload[8:]


def play_of(helper: type[Helper], options: Mapping[str, Any], dialogue: Dialogue, variation: Variation) -> Play:
    """Return the play of a dialogue, over what its helper's protocol is."""
    kind = DatagramPlay if helper.protocol == "udp" else Play
    return kind(helper, options, dialogue, variation)


def _flow(packet: bytes) -> FlowKey:
    return FlowKey.from_bytes(Packet(packet).key)


def _registries(helper: type[Helper]) -> Registry:
    return registry_with(helpers={helper.name: helper})


def deep_size(thing: object, seen: set[int] | None = None) -> int:
    """Return how many octets an object and all that it alone refers to take, roughly; classes and code not counted."""
    seen = set() if seen is None else seen
    if id(thing) in seen or isinstance(thing, type) or callable(thing):
        return 0
    seen.add(id(thing))
    inner: list[object] = []
    if isinstance(thing, Mapping):
        inner += [*thing.keys(), *thing.values()]
    elif isinstance(thing, (list, tuple, set, frozenset)) or type(thing).__name__ == "deque":
        inner += list(thing)  # type: ignore[call-overload]
    inner += vars(thing).values() if hasattr(thing, "__dict__") else []
    slots = [name for cls in type(thing).__mro__ for name in getattr(cls, "__slots__", ())]
    inner += [getattr(thing, name) for name in slots if isinstance(name, str) and hasattr(thing, name)]
    return sys.getsizeof(thing) + sum(deep_size(part, seen) for part in inner)
