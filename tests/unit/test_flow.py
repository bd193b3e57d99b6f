"""Flow keys: one flow, one byte string."""

from __future__ import annotations

from ipaddress import ip_address

import pytest

from nat_lb.flow import Direction, Endpoint, FlowKey, reverse
from nat_lb.packet import Packet, flow_key
from nat_lb.testing import packets

V4 = FlowKey(6, Endpoint(ip_address("202.100.1.2"), 3000), Endpoint(ip_address("202.103.106.5"), 80))
V6 = FlowKey(17, Endpoint(ip_address("2001:db8::2"), 3000), Endpoint(ip_address("2001:db8::5"), 53))


@pytest.mark.parametrize("flow", [V4, V6], ids=["ipv4", "ipv6"])
def test_key_is_decoded_to_what_it_was_made_of(flow: FlowKey) -> None:
    key = flow.to_bytes()
    assert len(key) == (13 if flow is V4 else 37)
    assert FlowKey.from_bytes(key) == flow


@pytest.mark.parametrize("flow", [V4, V6], ids=["ipv4", "ipv6"])
def test_reverse_of_a_key_is_the_key_of_the_reverse(flow: FlowKey) -> None:
    assert reverse(flow.to_bytes()) == flow.reversed().to_bytes()
    assert reverse(reverse(flow.to_bytes())) == flow.to_bytes()


def test_key_cut_from_a_packet_is_the_encoded_flow() -> None:
    assert flow_key(packets.tcp(str(V4.source), str(V4.destination), packets.SYN)) == V4.to_bytes()
    assert flow_key(packets.udp(str(V6.source), str(V6.destination))) == V6.to_bytes()
    assert Packet(packets.udp(str(V6.source), str(V6.destination))).key == V6.to_bytes()


@pytest.mark.parametrize("length", [0, 12, 14, 36, 38])
def test_key_of_a_length_that_no_family_has_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match=f"13 or 37 octets, found {length}"):
        FlowKey.from_bytes(bytes(length))


def test_endpoints_are_written_so_that_they_can_be_read_again() -> None:
    assert str(V4) == "202.100.1.2:3000 > 202.103.106.5:80"
    assert str(V6) == "[2001:db8::2]:3000 > [2001:db8::5]:53"
    assert packets.endpoint(str(V6.source)) == V6.source


def test_directions_are_usable_as_indexes() -> None:
    assert [("to the server", "to the client")[direction] for direction in Direction] == [
        "to the server",
        "to the client",
    ]
