"""What is done with the addresses of a message, of whichever protocol it is.

The law: an endpoint is expected only if its announcer owns it. A real server's own endpoint is overwritten by a public
one, a client's stays as it is; where a client names a public endpoint, the real server reads its own. What is another
real server's becomes its service's, where nothing has to be expected.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from nat_lb.api import Address, Edit, Endpoint, Message, Peers, Refusal
from nat_lb_h323.content import Content, Field
from nat_lb_h323.rules import Channel, Rule, rule_for

Value = TypeVar("Value")

REMEMBERED = 64  # announced endpoints of a connection that later messages may mention or renew


class Announcements:
    """What the two ends of one connection announced to each other."""

    def __init__(self, peers: Peers, own_addresses: Iterable[Address], minimum_port: int) -> None:
        self.peers = peers
        self.minimum_port = minimum_port
        self._own = frozenset({peers.real.address, peers.virtual.address, *own_addresses})
        self._public: dict[Endpoint, Endpoint] = {}  # by real endpoint
        self._real: dict[Endpoint, Endpoint] = {}  # by public endpoint
        self._of_server: dict[Endpoint, Channel] = {}
        self._of_client: dict[Endpoint, Channel] = {}

    def edits(self, message: Message, content: Content, timeout: float | None = None) -> list[Edit]:
        """Expect what a message announces, for `timeout` seconds, and return what must be overwritten.

        What must not be is refused field by field, and told once for each kind of refusal.
        """
        found = []
        refused = {"unreadable": content.failure} if content.failure else {}
        for field in content.fields:
            rule = rule_for(field.message, field.name)
            try:
                if rule is not None:
                    found += _overwritten(message.data, field, self._translated(message, field.endpoint, rule, timeout))
            except Refusal as reason:
                refused.setdefault(reason.kind, f"{field.name} of {field.message}: {reason}")
        for kind, why in refused.items():
            message.refuse(why, kind=kind)
        return sorted(found)

    def renew(self, message: Message, timeout: float | None) -> None:
        """Expect connections to what the receiver of a message announced for `timeout` seconds from now."""
        if message.from_client:
            for endpoint, channel in list(self._of_server.items()):
                self._expect_client(message, endpoint, channel, timeout)
        else:
            for endpoint, channel in list(self._of_client.items()):
                self._expect_server(message, endpoint, channel, timeout)

    def _translated(self, message: Message, endpoint: Endpoint, rule: Rule, timeout: float | None) -> Endpoint:
        """Return the endpoint as the other end must read it."""
        if message.from_client:
            return self._from_client(message, endpoint, rule, timeout)
        return self._from_server(message, endpoint, rule, timeout)

    def _from_client(self, message: Message, endpoint: Endpoint, rule: Rule, timeout: float | None) -> Endpoint:
        client, virtual, real = self.peers
        if endpoint == virtual:
            return real
        if endpoint in self._real:
            return self._real[endpoint]
        if rule.here and endpoint.address == virtual.address:
            return Endpoint(real.address, endpoint.port)
        if endpoint.address == client.address:
            if rule.client is not None and not (rule.here and endpoint == client):
                self._expect_server(message, endpoint, rule.client, timeout)
        elif not rule.others:
            raise Refusal(f"{endpoint} is not the client's, who is {client.address}", "foreign address")
        return endpoint

    def _from_server(self, message: Message, endpoint: Endpoint, rule: Rule, timeout: float | None) -> Endpoint:
        client, virtual, real = self.peers
        if rule.here and endpoint in (real, virtual):
            return virtual
        if endpoint.address in self._own:
            if endpoint.address.version != real.address.version:
                raise Refusal(f"{endpoint} has not the octets of an address like {real.address}", "other family")
            own = Endpoint(real.address, endpoint.port)
            if rule.server is None:
                return self._public.get(own, endpoint)
            return self._expect_client(message, own, rule.server, timeout)
        if endpoint.address == client.address:
            return endpoint
        known = _service_of(message, endpoint, rule)
        if known is None and not rule.others:
            raise Refusal(f"{endpoint} is not the real server's, which is {real.address}", "foreign address")
        return known or endpoint

    def _expect_client(self, message: Message, real: Endpoint, channel: Channel, timeout: float | None) -> Endpoint:
        ports = self._ports(real, channel)
        first = message.expect_client(
            Endpoint(real.address, ports.start),
            protocol=channel.protocol,
            ports=len(ports),
            helper=channel.helper,
            any_client=channel.any_client,
            many=channel.many,
            timeout=timeout,
        )
        public = Endpoint(first.address, first.port + real.port - ports.start)
        _remember(self._of_server, real, channel)
        _remember(self._public, real, public)
        _remember(self._real, public, real)
        return public

    def _expect_server(self, message: Message, client: Endpoint, channel: Channel, timeout: float | None) -> None:
        ports = self._ports(client, channel)
        message.expect_server(
            Endpoint(client.address, ports.start),
            protocol=channel.protocol,
            ports=len(ports),
            helper=channel.helper,
            many=channel.many,
            timeout=timeout,
        )
        _remember(self._of_client, client, channel)

    def _ports(self, endpoint: Endpoint, channel: Channel) -> range:
        ports = channel.span(endpoint.port)
        if ports.start < self.minimum_port:
            raise Refusal(f"{endpoint} for {channel.what} is below port {self.minimum_port}", "privileged port")
        return ports


def _service_of(message: Message, endpoint: Endpoint, rule: Rule) -> Endpoint | None:
    """Return the service that another real server's endpoint is part of, where a connection of its own goes there."""
    if rule.server is not None and not rule.server.many:
        return None
    return message.known_as(endpoint, protocol=rule.server.protocol if rule.server is not None else "tcp")


def _remember(memory: dict[Endpoint, Value], key: Endpoint, value: Value) -> None:
    """Put in a value, the latest one last, and forget the oldest one if there are too many."""
    memory.pop(key, None)
    memory[key] = value
    if len(memory) > REMEMBERED:
        del memory[next(iter(memory))]


def _overwritten(data: bytes, field: Field, endpoint: Endpoint) -> list[Edit]:
    """Return the edit that writes another endpoint where a field stands; none if it is the same."""
    old, new = b"".join(field.endpoint.packed), b"".join(endpoint.packed)
    return [Edit(field.at, field.at + len(old), new)] if new != old else []
