"""A little protocol with related connections, its helper as a plugin, and a dialogue that speaks it.

The server says `AT endpoint` to be connected to, the client says `CALL endpoint`; `BAD endpoint` makes the helper fail
after it has asked for the connection, `ODD endpoint` makes it return an edit that is none, `STOP` turns it off.
"""

from __future__ import annotations

from nat_lb.testing.packets import ACK, PSH, SYN
from nat_lb.testing.scenario import Outcome, Peer, Scenario
from tests.little_plugins import Shelf
from tests.scenario.nets import Net

PLUGIN = '''
from ipaddress import ip_address

class Talk(Helper):
    """Rewrites AT and expects what AT and CALL announce."""

    name = "talk"
    most_expectations = 2
    expectation_timeout = 30.0

    def rewrite(self, message):
        verb, _, rest = message.data.strip().partition(b" ")
        if verb == b"STOP":
            message.stop()
        if verb not in (b"AT", b"CALL", b"BAD", b"ODD", b"ALL", b"NEST"):
            return ()
        address, _, port = rest.decode().rpartition(":")
        endpoint = Endpoint(ip_address(address.strip("[]")), int(port))
        if verb == b"CALL":
            message.expect_server(endpoint)
            return ()
        helper = "talk" if verb == b"NEST" else None
        try:
            public = message.expect_client(endpoint, helper=helper, any_client=verb == b"ALL")
        except ExpectationRefused as refusal:
            message.refuse(str(refusal))
            return ()
        if verb == b"BAD":
            raise RuntimeError("no such luck")
        start = len(verb) + 1
        return [Edit(start, 9000 if verb == b"ODD" else start + len(rest), str(public).encode())]


@hookimpl
def nat_lb_register_helpers():
    return [Talk]
'''


class Talk:
    """A control connection between a client and the real server, with right sequence numbers on both sides."""

    def __init__(self, shelf: Shelf, net: Net, *, more: str = "", staged: bool = False) -> None:
        shelf.install("talk", PLUGIN)
        self.net = net
        helpers = 'helpers = ["talk"]\n' + more
        toml = net.service("talk", 7000, f"{net.one}:7000 1", more=helpers)
        self.s = Scenario(toml, shelf.registry(), staged=staged)
        self.client = self.s.client(f"{net.client}:3000")
        self.server = self.s.server(f"{net.one}:7000", self.client.own)
        self._seq = {self.client: 1001, self.server: 5001}
        self._seen = {self.client: 5001, self.server: 1001}  # what each has got of the other's stream, as it came
        self.client.sends(SYN, seq=1000)
        self.server.sends(SYN | ACK, seq=5000, ack=1001)

    def says(self, peer: Peer, text: str) -> Outcome:
        """Send one line, and let the other side take note of what came of it."""
        data = text.encode() + b"\n"
        outcome = peer.sends(ACK | PSH, data, seq=self._seq[peer], ack=self._seen[peer])
        self._seq[peer] += len(data)
        other = self.client if peer is self.server else self.server
        self._seen[other] += len(self.payload(outcome))
        return outcome

    @staticmethod
    def payload(outcome: Outcome) -> bytes:
        """Return the forwarded packet's payload."""
        header = 20 if outcome.packet[0] >> 4 == 4 else 40
        return outcome.packet[header + (outcome.packet[header + 12] >> 4) * 4 :]

    def announces(self, verb: str, port: int) -> str:
        """Let the server announce an endpoint of its own; returns the one that the client reads."""
        read = self.payload(self.says(self.server, f"{verb} {self.net.one}:{port}"))
        return read.split()[1].decode()

    def data(self, port: int) -> Peer:
        """Return the client, about to connect to a port of the virtual address."""
        return self.s.client(f"{self.net.client}:{40000 + port % 1000}", f"{self.net.vip}:{port}")
