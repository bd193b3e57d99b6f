"""The ranges of the expectation table; all else of it is tested through the ledger, in test_ledger."""

from __future__ import annotations

from nat_lb.connection import Connection
from nat_lb.expectation import Expectation, Ranges
from nat_lb.flow import Direction, FlowKey
from nat_lb.service import RealServer, VirtualService
from nat_lb.testing.packets import endpoint
from nat_lb.trackers import Tcp

VIRTUAL, REAL = endpoint("202.103.106.5:21"), endpoint("172.16.0.3:21")
ENDS = b"\6client-vip"


def connection(port: int) -> Connection:
    service = VirtualService("files", Tcp, VIRTUAL, Tcp.seconds())
    server = RealServer(REAL)
    service.add(server)
    key = FlowKey(6, endpoint(f"202.100.1.2:{port}"), VIRTUAL).to_bytes()
    return Connection(key, service, server, server.binding, 0, 0.0)


def expectation(parent: Connection) -> Expectation:
    return Expectation(parent, parent.tracking, {ENDS: Direction.ORIGINAL})


def test_port_is_found_in_every_range_that_holds_it() -> None:
    ranges, (first, second) = Ranges(), (expectation(connection(port)) for port in (1, 2))
    ranges.put(first.parent, range(100, 200), first)
    ranges.put(second.parent, range(150, 250), second)
    assert [list(ranges.at(ENDS, port)) for port in (99, 100, 150, 200, 250)] == [
        [], [first], [first, second], [second], [],
    ]  # fmt: skip
    assert list(ranges.at(b"\6others", 150)) == []


def test_connection_has_one_range_at_most() -> None:
    ranges, only = Ranges(), expectation(connection(1))
    ranges.put(only.parent, range(100, 200), only)
    ranges.put(only.parent, range(300, 400), only)
    assert (len(ranges), list(ranges.at(ENDS, 100))) == (1, [])
    assert ranges.of(only.parent) == (range(300, 400), only)
    ranges.clear(only.parent)
    ranges.clear(only.parent)
    assert (len(ranges), ranges.of(only.parent), list(ranges.at(ENDS, 300))) == (0, None, [])
