"""The way of a packet, read from top to bottom.

The law: `process` gives every packet exactly one verdict and never raises. A packet of a known connection calls no
hook, logs nothing, and is taken apart once; all that is rare is in methods below `process`, in the order in which a
packet meets it:

    key -> connection, or a first packet: expectation, virtual service, scheduler -> state -> helper -> translation
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from nat_lb import icmp, reject
from nat_lb.connection import Connection
from nat_lb.errors import PacketError
from nat_lb.flow import Direction, reverse
from nat_lb.nat import Translation
from nat_lb.packet import TCP, Packet, flow_key
from nat_lb.payload import Rewritten, TcpRewriter
from nat_lb.segment import RST, Segment
from nat_lb.verdict import Drop, NotForwarded, Reason, Reject, Replace, Stage, Verdict

if TYPE_CHECKING:
    from nat_lb.config import DirectorConfig
    from nat_lb.datagram import DatagramRewriter
    from nat_lb.expectation import Met
    from nat_lb.lifecycle import Lifecycle
    from nat_lb.tracker import Tracker

_ANY = Stage.ANY


class Pipeline:
    """The tables that a packet meets, and its way through them."""

    def __init__(self, lifecycle: Lifecycle, settings: DirectorConfig) -> None:
        self.lifecycle = lifecycle
        self.settings = settings
        self.services = lifecycle.services
        self.refused: Counter[Reason] = Counter()
        self._flows = lifecycle.connections.flows

    def process(self, data: bytes, now: float, stage: Stage = _ANY, key: bytes | None = None) -> Verdict:
        """Return the verdict on one IP packet, taken at `now` (seconds, never going back) where `stage` says.

        The packet ends where its header says: whoever reads frames takes the link's padding off. `key` is given where
        it is not what `flow_key` cuts out.
        """
        try:
            connection = self._flows.get(key := key or flow_key(data))  # type: ignore[arg-type]
            if connection is None:
                return self._unknown(data, now, stage)
            binding = connection.binding
            path = binding.original if key == connection.key else binding.reply
            if stage is path.wrong_stage:
                return data
            length = len(data)
            if length < path.least_length:
                return self._drop(Reason.TRUNCATED)
            if data[path.hops_at] < path.least_hops:
                return self._out_of_hops(Packet(data))
            state = path.rows[data[path.event_at]][connection.state]
            connection.last_seen = now
            if state != connection.state and self._moved(connection, path, data, state, now):
                return self._unknown(data, now, stage)
            traffic = path.traffic
            traffic.packets += 1
            traffic.octets += length
            rewriter = connection.rewriter
            if rewriter is None:
                return path.apply(data)
            return rewriter.through(data, path, now) or self._rewritten(connection, rewriter, path, data, now)
        except PacketError as error:
            return self._drop(Reason(error.reason))
        except Exception as error:
            return self._failed(data, error, now)

    def _failed(self, data: bytes, error: Exception, now: float) -> Drop:
        """Tell bytes too few to be a packet, in which nothing could be found, from a fault of ours or a plugin's."""
        try:
            Packet(data)
        except PacketError as objection:
            return self._drop(Reason(objection.reason))
        self.lifecycle.faults.report("pipeline", "one packet", error, now)
        return self._drop(Reason.PLUGIN_FAULT)

    def _drop(self, reason: Reason) -> Drop:
        self.refused[reason] += 1
        return Drop(reason)

    def _reject(self, reason: Reason, answer: bytes | None) -> NotForwarded:
        self.refused[reason] += 1
        return Reject(reason, answer) if answer is not None else Drop(reason)

    def _out_of_hops(self, packet: Packet) -> NotForwarded:
        return self._reject(Reason.TTL_EXCEEDED, reject.icmp_error(packet, reject.TIME_EXCEEDED))

    def _moved(self, connection: Connection, path: Translation, data: bytes, state: int, now: float) -> bool:
        """Carry out a change of state; return whether the packet opens a new connection in place of this one."""
        if path.direction is Direction.ORIGINAL and connection.tracking.reopened[connection.state]:
            late = connection.rewriter is not None and connection.rewriter.began_with(data)
            if connection.tracking.opening[data[path.event_at]] and not late:
                self.lifecycle.close(connection, "reused", now)
                return True
        self.lifecycle.change_state(connection, state, now)
        return False

    def _rewritten(
        self,
        connection: Connection,
        rewriter: TcpRewriter | DatagramRewriter,
        path: Translation,
        data: bytes,
        now: float,
    ) -> Verdict:
        """Have a packet rewritten, translate what became of it, and let go of a rewriter that has no more to do."""
        result = rewriter.rewrite(data, path.direction, now)
        if rewriter.finished:
            connection.rewriter = None
            self.lifecycle.hand_over(connection)
        if isinstance(result, Rewritten):
            return Replace(Reason.RESEGMENTED, *map(path.apply, result.onward), *result.back)
        return path.apply(result)

    def _unknown(self, data: bytes, now: float, stage: Stage) -> Verdict:
        """Decide about a packet that no connection claims by the first look at it."""
        packet = Packet(data)
        ours = self.services.is_virtual(packet.destination) or self.services.is_real(packet.source)
        if packet.fragment:
            return self._drop(Reason.FRAGMENT) if ours else data
        if packet.is_icmp:
            return self._icmp(packet, stage) if icmp.is_error(packet) else data
        tracker = self.lifecycle.elsewhere.get(packet.protocol)
        if tracker is not None:
            return self._numbered_elsewhere(packet, tracker, now, stage)
        if packet.plain is not data and packet.key in self._flows:
            return self._known(packet, packet.key, now, stage)
        return self._carried_or_first(packet, packet.key, now, stage)

    def _numbered_elsewhere(self, packet: Packet, tracker: type[Tracker], now: float, stage: Stage) -> Verdict:
        """Decide about a packet of a protocol that has its numbers elsewhere than TCP and UDP have their ports."""
        if not tracker.recognises(packet.payload):
            return packet.data
        key = packet.key_by(tracker.ports_at)
        if key in self._flows:
            return self._known(packet, key, now, stage)
        return self._carried_or_first(packet, key, now, stage)

    def _carried_or_first(self, packet: Packet, key: bytes, now: float, stage: Stage) -> Verdict:
        """Stand in for the fast path where it left a packet of its connection to the stack, or open a connection."""
        offload = self.lifecycle.offload
        connection = offload.find(key) if offload is not None else None
        if offload is None or connection is None:
            return self._first(packet, key, now, stage)
        path = connection.binding.original if key == connection.key else connection.binding.reply
        if stage is path.wrong_stage:
            return packet.data
        if len(packet.plain) < path.least_length:
            return self._drop(Reason.TRUNCATED)
        if packet.hops < path.least_hops:
            return self._out_of_hops(packet)
        octet = packet.plain[path.event_at]
        tracking = connection.tracking
        if path.direction is Direction.ORIGINAL and tracking.reopened[connection.state] and tracking.opening[octet]:
            self.lifecycle.close(connection, "reused", now)
            return self._first(packet, key, now, stage)
        offload.fastpath.note(key, octet, len(packet.plain))
        return packet.restore(path.apply(packet.plain))

    def _known(self, packet: Packet, key: bytes, now: float, stage: Stage) -> Verdict:
        """Send an unusual packet through the connection that its key belongs to."""
        verdict = self.process(packet.plain, now, stage, key)
        return verdict if isinstance(verdict, NotForwarded) else packet.restore(verdict)

    def _first(self, packet: Packet, key: bytes, now: float, stage: Stage) -> Verdict:
        """Open a connection for a packet that is expected or for a service.

        All else is no concern of ours, or refused.
        """
        met = self.lifecycle.expectations.match(key)
        if met is not None and self._is_met(met, packet, stage):
            return self._enter(packet, key, self.lifecycle.open_expected(met, key, now), now, stage)
        if stage is not Stage.AFTER_ROUTING and self.services.is_virtual(packet.destination):
            return self._for_virtual_address(packet, key, now, stage)
        if stage is not Stage.BEFORE_ROUTING and self._is_orphan(packet, key):
            return self._from_real_server(packet, key, now, stage)
        return packet.data

    def _is_met(self, met: Met, packet: Packet, stage: Stage) -> bool:
        """Whether a packet that an expectation is for may open its connection: a stray reset must not use it up."""
        expectation, direction = met
        tracking = expectation.tracking
        if stage not in (_ANY, _STAGE_OF[direction]) or len(packet.payload) < tracking.tracker.header:
            return False
        return tracking.may_open(packet.payload, expectation.parent.service.sloppy)

    def _enter(self, packet: Packet, key: bytes, opened: Connection | None, now: float, stage: Stage) -> Verdict:
        """Send a first packet through the connection that was just opened for it."""
        if opened is None:
            return self._drop(Reason.TABLE_FULL if self.lifecycle.connections.full else Reason.FLOW_TAKEN)
        verdict = self._known(packet, key, now, stage)
        if opened.rewriter is None:
            self.lifecycle.hand_over(opened)
        return verdict

    def _for_virtual_address(self, packet: Packet, key: bytes, now: float, stage: Stage) -> Verdict:
        service = self.services.find(packet.protocol, packet.destination, key[-2:])
        if service is None:
            return self._other_port(packet)
        if packet.hops < 2:
            return self._out_of_hops(packet)
        if len(packet.payload) < service.tracker.header:
            return self._drop(Reason.TRUNCATED)
        if not service.tracking.may_open(packet.payload, service.sloppy):
            return self._without_connection(packet)
        if self.lifecycle.connections.full:
            return self._drop(Reason.TABLE_FULL)
        try:
            real_server = self.lifecycle.choose(service, key, now)
        except Exception as error:
            self.lifecycle.faults.report("nat_lb_schedule", service.name, error, now)
            return self._drop(Reason.PLUGIN_FAULT)
        if real_server is None:
            answer = reject.icmp_error(packet, reject.PORT_UNREACHABLE)
            return self._reject(Reason.NO_REAL_SERVER, answer)
        return self._enter(packet, key, self.lifecycle.open(service, real_server, key, now), now, stage)

    def _without_connection(self, packet: Packet) -> NotForwarded:
        if packet.protocol != TCP:
            return self._drop(Reason.NO_CONNECTION)
        if Segment(packet.plain).flags & RST:
            return self._drop(Reason.RESET_WITHOUT_CONNECTION)
        return self._reject(Reason.NO_CONNECTION, reject.reset(packet))

    def _other_port(self, packet: Packet) -> Verdict:
        """Refuse a packet to a port of a VIP that no service has; other protocols are the director's own affair."""
        if self.settings.other_ports == "accept" or packet.protocol not in self.lifecycle.protocols:
            return packet.data
        if self.settings.other_ports == "drop":
            return self._drop(Reason.NO_SERVICE)
        return self._reject(Reason.NO_SERVICE, self._refusal(packet))

    def _refusal(self, packet: Packet) -> bytes | None:
        """Return the answer that says so to the sender, None for a protocol that has no ports to be unreachable."""
        if packet.protocol == TCP:
            return reject.reset(packet)
        if packet.protocol in self.lifecycle.sourceless:
            return None
        return reject.icmp_error(packet, reject.PORT_UNREACHABLE)

    def _is_orphan(self, packet: Packet, key: bytes) -> bool:
        if packet.protocol in self.lifecycle.sourceless:
            return self.services.is_helped(packet.source)
        return self.services.find_by_real(packet.protocol, packet.source, key[-4:-2]) is not None

    def _is_to_real_server(self, key: bytes) -> bool:
        """Whether a flow key's destination is a service's real server."""
        to = reverse(key)
        size = (len(to) - 5) // 2
        return self.services.find_by_real(to[0], to[1 : 1 + size], to[1 + 2 * size : 3 + 2 * size]) is not None

    def _from_real_server(self, packet: Packet, key: bytes, now: float, stage: Stage) -> Verdict:
        """Open a connection for a real server's first packet, if a helper of its service wants that."""
        service = self.services.find_by_real(packet.protocol, packet.source, key[-4:-2])
        if service is None or not service.opens_from_inside or len(packet.payload) < service.tracker.header:
            return self._orphan(packet)
        if not service.tracking.may_open(packet.payload, sloppy=False):
            return self._orphan(packet)
        return self._enter(packet, key, self.lifecycle.open_from_inside(service, key, now), now, stage)

    def _orphan(self, packet: Packet) -> NotForwarded:
        """Refuse a real server's packet that belongs to no connection; forwarded, it would show an inside address."""
        if self.settings.orphan_replies == "drop":
            return self._drop(Reason.REPLY_WITHOUT_CONNECTION)
        return self._reject(Reason.REPLY_WITHOUT_CONNECTION, self._refusal(packet))

    def _icmp(self, packet: Packet, stage: Stage) -> Verdict:
        """Translate an ICMP error about a connection's packet.

        Of the others, pass those that show nothing of the inside.
        """
        inner = icmp.quoted(packet, self.lifecycle.elsewhere)
        found = icmp.find(self.lifecycle.connections, inner, self.lifecycle.offload) if inner is not None else None
        if inner is None or found is None:
            if self.services.is_virtual(packet.destination):
                return packet.data if self.settings.other_ports == "accept" else self._drop(Reason.ICMP_UNTRANSLATABLE)
            if stage is not Stage.BEFORE_ROUTING and inner is not None and self._is_to_real_server(inner.key):
                return self._drop(Reason.REPLY_WITHOUT_CONNECTION)
            return packet.data
        connection, direction = found
        path = connection.binding.original if direction is Direction.ORIGINAL else connection.binding.reply
        if stage is path.wrong_stage:
            return packet.data
        icmp.check(packet)
        return icmp.translate(packet, inner, connection, direction)


_STAGE_OF = {Direction.ORIGINAL: Stage.BEFORE_ROUTING, Direction.REPLY: Stage.AFTER_ROUTING}
