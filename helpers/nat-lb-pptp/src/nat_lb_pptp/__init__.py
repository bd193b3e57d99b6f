"""PPTP through network address translation: one control connection, and the calls that it sets up.

A control connection (TCP) sets up calls between an access concentrator (PAC) and a network server (PNS). What a call
carries, PPP in GRE, is a flow of its own, and GRE has no ports: its header holds the id that the *receiver* gave the
call. Each end counts its ids by itself, mostly from 0. So a client that has calls on two real servers, or the many
behind one address, would send packets of the same id to the VIP, and nobody could tell which call is meant.

*The real server's ids* are therefore translated: each gets a public id that is unique for this client and this VIP,
the same number if that is free. Where the server names a call by its own id the public one is written (requests,
replies, Call-Clear-Request, Call-Disconnect-Notify); where the client names it by the server's, the real one (replies,
Incoming-Call-Connected, WAN-Error-Notify, Set-Link-Info). Packets from the client are translated likewise.
*The client's ids* pass as they are: the server knows the client by its own address.

It makes no difference which end is the PAC and which the PNS, nor who asked for the call: ids belong to ends, not to
roles. A request of the server's reserves the public id, and the reply that connects the call, from either end, expects
GRE between the two ids. Both directions are expected at once, since either end may speak first.

A call ends with Call-Disconnect-Notify, or when an end gives its id out anew; all end with
Stop-Control-Connection-Request or with the control connection. Its packets are then forwarded no more.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import Field

from nat_lb.api import Direction, Edit, Endpoint, Helper, Message, Options, Peers, Refusal, Tracker, hookimpl
from nat_lb_pptp.calls import Call, Calls
from nat_lb_pptp.tracker import Gre
from nat_lb_pptp.wire import (
    LAYOUTS,
    LONGEST_MESSAGE,
    REPLIES,
    REQUESTS,
    SILENT,
    Control,
    Kind,
    kind_of,
    message_length,
    parse,
)

MOST_CALLS = 256


class PptpOptions(Options):
    """The table [service.helper_options.pptp]."""

    most_calls: int = Field(
        default=16, ge=1, le=MOST_CALLS, description="How many calls one control connection may have at one time."
    )


class Pptp(Helper):
    """Translates the real server's call ids and expects the calls; one object a control connection."""

    name = "pptp"
    protocol = "tcp"
    ports = (1723,)
    options = PptpOptions
    longest_message = LONGEST_MESSAGE
    most_expectations = MOST_CALLS
    expectation_timeout = 600.0

    def __init__(self, peers: Peers, options: Any = None) -> None:
        super().__init__(peers, options or PptpOptions())
        self._calls = Calls()

    def frame(self, data: bytes, direction: Direction) -> int:
        """Cut by the length that a message begins with; where none begins, all there is passes."""
        length = message_length(data)
        if length is None:
            return len(data)
        return length if length <= len(data) else 0

    def holds(self, tail: bytes, direction: Direction) -> bool:
        """Hold a message as soon as a part of it is an id that may have to be replaced."""
        kind = kind_of(tail)
        at = None if kind is None else _place(kind, direction)
        return at is not None and len(tail) > at

    def ignores(self, octets: bytes, direction: Direction) -> bool:
        """Ignore one message that says nothing of calls: most are echoes."""
        return SILENT.get(octets[:10]) == len(octets)

    def rewrite(self, message: Message) -> Iterable[Edit]:
        """Translate the real server's id, and follow what becomes of the call."""
        if message_length(message.data) != len(message.data):
            message.stop()
            raise Refusal("no control message begins where one should; nothing after it can be read", "malformed")
        control = parse(message.data)
        if control is None:
            return ()
        if control.kind is Kind.STOP_REQUEST:
            for call in self._calls:
                self._end(message, call)
        written = self._from_client(message, control) if message.from_client else self._from_server(message, control)
        at = _place(control.kind, message.direction)
        return () if at is None or written is None else (Edit(at, at + 2, written.to_bytes(2, "big")),)

    def _from_server(self, message: Message, control: Control) -> int | None:
        """Return the public id of the call that the real server names by its own."""
        if control.own is None:
            return None
        if control.kind in REQUESTS:
            return self._reserve(message, control.own)
        if control.kind in REPLIES and control.connected:
            return self._connect(message, control.own, control.peer)
        call = self._calls.named_by_server(control.own)
        if call is None:
            return None
        if control.kind is Kind.CALL_DISCONNECT_NOTIFY:
            self._end(message, call)
        return call.public.port

    def _from_client(self, message: Message, control: Control) -> int | None:
        """Return the real server's id of the call that the client names by its public one."""
        if control.kind is Kind.CALL_DISCONNECT_NOTIFY:
            call = self._calls.named_by_client(control.own)
            if call is not None:
                self._end(message, call)
            return None
        call = self._calls.named_to_server(control.peer)
        if call is None:
            return None
        if control.kind in REPLIES:
            if control.connected:
                self._connect(message, call.real, control.own)
            else:
                self._end(message, call)
        return call.real

    def _reserve(self, message: Message, number: int) -> int:
        """Return the public id of a call that the real server asks for."""
        self._check_room(number)
        public = message.expect_client(Endpoint(self.peers.real.address, number), protocol=Gre.name, bound=True)
        self._calls.put(Call(number, public))
        return public.port

    def _connect(self, message: Message, number: int, clients: int | None) -> int:
        """Expect the packets of a call that is connected, in place of those that had its ids; return the public one."""
        assert clients is not None, "replies name both ends"
        call, former = self._calls.named_by_server(number), self._calls.named_by_client(clients)
        if call is not None and call is former:
            return call.public.port
        self._check_room(number, clients)
        if former is not None:
            message.forget(former.public, protocol=Gre.name)
        client, real = Endpoint(self.peers.client.address, clients), Endpoint(self.peers.real.address, number)
        public = message.expect_between(client, real, protocol=Gre.name, bound=True)
        self._calls.put(Call(number, public, clients))
        return public.port

    def _check_room(self, number: int, clients: int | None = None) -> None:
        """Raise Refusal if there are as many calls of other ids as may be."""
        most = self.settings.most_calls
        others = [call for call in self._calls if call.real != number and (clients is None or call.client != clients)]
        if len(others) >= most:
            raise Refusal(f"call {number} is one more than most_calls, {most}, allows", "too many calls")

    def _end(self, message: Message, call: Call) -> None:
        message.forget(call.public, protocol=Gre.name)
        self._calls.remove(call)


def _place(kind: Kind, direction: Direction) -> int | None:
    """Return where a message of this type has the real server's id, None if nowhere."""
    layout = LAYOUTS[kind]
    return layout.peer if direction is Direction.ORIGINAL else layout.own


@hookimpl
def nat_lb_register_helpers() -> Iterable[type[Helper]]:
    """Offer `helpers = ["pptp"]` to services."""
    return [Pptp]


@hookimpl
def nat_lb_register_trackers() -> Iterable[type[Tracker]]:
    """Bring GRE, which the core knows nothing of."""
    return [Gre]
