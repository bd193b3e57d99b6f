"""A scenario player: a whole director without root, sockets or a clock, and tests that read as dialogues.

    s = Scenario(TOML)
    client = s.client("202.100.1.2:3000", "202.103.106.5:80")
    client.sends(SYN).expect_forwarded(dst="172.16.0.2:80")
    s.server("172.16.0.2:80", "202.100.1.2:3000").sends(SYN | ACK).expect_forwarded(src="202.103.106.5:80")
    s.time(901)
    client.sends(ACK).expect_reset()

The law: packets go through the same `Director` that runs on a machine, and time passes only when the scenario says so.
"""

from __future__ import annotations

from typing import Any

from nat_lb.config import parse
from nat_lb.connection import Connection
from nat_lb.director import Director
from nat_lb.flow import FlowKey
from nat_lb.packet import TCP, Packet
from nat_lb.plugins import Registry
from nat_lb.segment import RST
from nat_lb.testing import packets
from nat_lb.verdict import Drop, NotForwarded, Reject, Stage, Verdict


class Outcome:
    """What became of one packet; every `expect_` method raises AssertionError, or returns the outcome."""

    def __init__(self, sent: bytes, verdict: Verdict) -> None:
        self.sent = sent
        self.verdict = verdict

    @property
    def packet(self) -> bytes:
        """The packet that goes on in the sent one's place; fails if none does."""
        assert not isinstance(self.verdict, NotForwarded), f"{self}: expected it to be forwarded"
        return bytes(self.verdict)

    @property
    def answer(self) -> bytes:
        """The one packet that is sent back to the sender; fails if there is not just one."""
        assert isinstance(self.verdict, Reject), f"{self}: expected it to be rejected"
        (answer,) = self.verdict.packets
        assert packets.checksums_are_right(answer), f"{self}: wrong checksum in {answer.hex()}"
        assert Packet(answer).destination == Packet(self.sent).source, f"{self}: not answered to its sender"
        return answer

    def expect_forwarded(self, src: str | None = None, dst: str | None = None, payload: bytes | None = None) -> Outcome:
        """Expect the packet to go on with right checksums and these endpoints; one not given is unchanged."""
        before, after = FlowKey.from_bytes(Packet(self.sent).key), FlowKey.from_bytes(Packet(self.packet).key)
        wanted = (src or str(before.source), dst or str(before.destination))
        assert (str(after.source), str(after.destination)) == wanted, f"{self}: expected {' > '.join(wanted)}"
        assert packets.checksums_are_right(self.packet), f"{self}: wrong checksum in {self.packet.hex()}"
        assert payload is None or self.packet.endswith(payload), f"{self}: expected the payload {payload!r}"
        return self

    def expect_untouched(self) -> Outcome:
        """Expect the packet to go on as it came."""
        assert self.packet == self.sent, f"{self}: expected it to pass as it is"
        return self

    def expect_dropped(self, reason: str) -> Outcome:
        """Expect the packet to be dropped without an answer, for a `Reason` such as "no-service"."""
        assert isinstance(self.verdict, Drop), f"{self}: expected drop"
        assert self.verdict.reason == reason, f"{self}: expected {reason}"
        return self

    def expect_reset(self, reason: str | None = None) -> Outcome:
        """Expect a TCP reset from the endpoint that the packet was sent to."""
        there, back = FlowKey.from_bytes(Packet(self.sent).key), FlowKey.from_bytes(Packet(self.answer).key)
        assert back == there.reversed(), f"{self}: expected an answer from {there.destination}"
        assert back.protocol == TCP, f"{self}: expected a reset"
        assert Packet(self.answer).payload[13] & RST, f"{self}: expected a reset"
        return self._for(reason)

    def expect_icmp(self, kind: int, code: int, reason: str | None = None) -> Outcome:
        """Expect an ICMP error from the address that the packet was sent to, quoting it as it came."""
        answer = Packet(self.answer)
        assert answer.is_icmp, f"{self}: expected ICMP {kind}/{code}"
        assert tuple(answer.payload[:2]) == (kind, code), f"{self}: expected ICMP {kind}/{code}"
        assert answer.source == Packet(self.sent).destination, f"{self}: {packets.describe(answer.data)}"
        assert self.sent.startswith(answer.payload[8:]), f"{self}: the answer does not quote the packet"
        return self._for(reason)

    def _for(self, reason: str | None) -> Outcome:
        assert isinstance(self.verdict, NotForwarded)
        assert reason in (None, self.verdict.reason), f"{self}: expected {reason}"
        return self

    def __str__(self) -> str:
        if isinstance(self.verdict, NotForwarded):
            became = " ".join([repr(self.verdict), *map(packets.describe, self.verdict.packets)])
        else:
            became = packets.describe(bytes(self.verdict))
        return f"{packets.describe(self.sent)} became {became}"


class Peer:
    """A client or a real server that sends packets from one endpoint to another."""

    def __init__(self, scenario: Scenario, own: str, other: str, stage: Stage) -> None:
        self.scenario = scenario
        self.own = own
        self.other = other
        self.stage = stage

    def sends(self, flags: int, payload: bytes = b"", **fields: Any) -> Outcome:
        """Send a TCP segment; `fields` are those of `packets.tcp`."""
        return self.sends_packet(packets.tcp(self.own, self.other, flags, payload, **fields))

    def sends_datagram(self, payload: bytes = b"", **fields: Any) -> Outcome:
        """Send a UDP datagram; `fields` are those of `packets.udp`."""
        return self.sends_packet(packets.udp(self.own, self.other, payload, **fields))

    def sends_packet(self, packet: bytes) -> Outcome:
        """Send any packet."""
        return self.scenario.process(packet, self.stage)


class Scenario:
    """A director and the time that it thinks it is."""

    def __init__(self, toml: str, registry: Registry | None = None, *, staged: bool = False) -> None:
        self.director = Director(parse(toml, "scenario.toml"), "scenario.toml", registry)
        self.staged = staged  # whether packets are taken where netfilter takes them, before or after routing
        self.now = 1000.0

    def client(self, own: str, virtual: str | None = None) -> Peer:
        """Return a client that talks to a virtual endpoint, by default the first service's."""
        first = next(iter(self.director.lifecycle.services))
        return Peer(self, own, virtual or str(first.endpoint), Stage.BEFORE_ROUTING if self.staged else Stage.ANY)

    def server(self, own: str, client: str) -> Peer:
        """Return a real server that talks to a client."""
        return Peer(self, own, client, Stage.AFTER_ROUTING if self.staged else Stage.ANY)

    def process(self, packet: bytes, stage: Stage = Stage.ANY) -> Outcome:
        """Give the director one packet."""
        return Outcome(packet, self.director.pipeline.process(packet, self.now, stage))

    def time(self, seconds: float) -> None:
        """Let time pass, with a tick every second as the director's timer gives it."""
        end = self.now + seconds
        while self.now + 1 <= end:
            self.now += 1
            self.director.tick(self.now)
        self.now = end
        self.director.tick(end)

    def jump(self, seconds: float) -> None:
        """Let time pass at once, as after a suspended machine, with one tick at its end."""
        self.now += seconds
        self.director.tick(self.now)

    def reload(self, toml: str) -> None:
        """Put another configuration in place; raises ConfigError."""
        self.director.reload(parse(toml, "scenario.toml"), self.now)

    @property
    def connections(self) -> list[Connection]:
        """The connections in the table, oldest first."""
        return list(self.director.lifecycle.connections)

    def connection(self, client: str) -> Connection:
        """Return the oldest connection of a client's endpoint; raises LookupError."""
        for connection in self.connections:
            if str(connection.client) == client:
                return connection
        raise LookupError(f"no connection of {client}; there are {', '.join(map(str, self.connections)) or 'none'}")

    def state(self, client: str) -> str:
        """Return the state of a client's connection."""
        return self.connection(client).state_name
