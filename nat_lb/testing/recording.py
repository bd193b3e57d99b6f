"""A registrar that records, so that a helper can be tested message by message, without a director.

    recorded = Recording(peers)
    edits = recorded.shows(helper, b"227 (10,77,0,11,4,210)\\r\\n", Direction.REPLY)
    assert recorded.to_real == ["10.77.0.11:1234"]

The law: it answers as a director with a free table would: the public endpoint of a real one is the VIP with the same
port, or the next that the test has not declared to be taken.
"""

from __future__ import annotations

from nat_lb.edits import checked
from nat_lb.flow import Direction, Endpoint
from nat_lb.helper import Edit, ExpectationRefused, Helper, Message, Peers, Refusal, Terms
from nat_lb.testing.packets import endpoint


class Recording:
    """What a helper asked for; with `full`, every expectation is refused."""

    def __init__(self, peers: Peers) -> None:
        self.peers = peers
        self.taken: set[int] = set()  # public ports that are not free
        self.services: dict[str, str] = {}  # virtual endpoints, by those of their real servers
        self.full = False
        self.stopped = False
        self.to_real: list[str] = []  # endpoints that the client is expected to reach
        self.to_client: list[str] = []  # endpoints that the real server is expected to reach
        self.ranges: list[range] = []
        self.forgotten: list[str] = []
        self.refused: list[str] = []
        self.kinds: list[str] = []  # of the refusals
        self.terms: list[Terms] = []  # of every expectation, in order

    def shows(self, helper: Helper, data: bytes, direction: Direction) -> list[Edit]:
        """Return the edits of one message; a refusal that is raised is noted, and there are none."""
        try:
            return list(helper.rewrite(Message(data, direction, self.peers, self)))
        except Refusal as refusal:
            self.refuse(str(refusal), refusal.kind)
            return []

    def passes(self, helper: Helper, data: bytes, direction: Direction) -> bytes:
        """Return one message as it goes on, with its edits made; raises ValueError if one of them is no edit."""
        for edit in reversed(checked(self.shows(helper, data, direction), len(data))):
            data = data[: edit.start] + edit.text + data[edit.end :]
        return data

    def expect_client(self, real: Endpoint, terms: Terms) -> Endpoint:
        """Note an expectation and return the public endpoint."""
        self._note(terms)
        self.to_real.append(str(real))
        return self._public(real, terms.ports)

    def expect_server(self, client: Endpoint, terms: Terms) -> None:
        """Note an expectation."""
        self._note(terms)
        self.to_client.append(str(client))

    def expect_between(self, client: Endpoint, real: Endpoint, terms: Terms) -> Endpoint:
        """Note an expectation both ways and return the public endpoint."""
        self._note(terms)
        self.to_real.append(str(real))
        self.to_client.append(str(client))
        return self._public(real, 1)

    def expect_range(self, ports: range, terms: Terms) -> None:
        """Note a range."""
        self._note(terms)
        self.ranges.append(ports)

    def forget(self, public: Endpoint, protocol: str) -> None:
        """Note what is not expected any more."""
        self.forgotten.append(str(public))

    def known_as(self, real: Endpoint, protocol: str) -> Endpoint | None:
        """Return the virtual endpoint of a service that the test has named."""
        return endpoint(self.services[str(real)]) if str(real) in self.services else None

    def refuse(self, why: str, kind: str) -> None:
        """Note a refusal."""
        self.refused.append(why)
        self.kinds.append(kind)

    def stop(self) -> None:
        """Note that the helper wants to see no more."""
        self.stopped = True

    def _note(self, terms: Terms) -> None:
        if self.full:
            raise ExpectationRefused("no public port is free", "no free port")
        self.terms.append(terms)

    def _public(self, real: Endpoint, ports: int) -> Endpoint:
        port = real.port
        while self.taken.intersection(range(port, port + ports)):
            port += ports
        return Endpoint(self.peers.virtual.address, port)


__all__ = ["Recording"]
