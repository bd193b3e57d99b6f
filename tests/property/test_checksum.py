"""The incremental checksum is the one that summing everything again would give: any packet, any translation."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from hypothesis import given
from hypothesis import strategies as st

from nat_lb.checksum import adjust, checksum, delta, ones_sum
from nat_lb.flow import Address, Endpoint
from nat_lb.nat import Binding, Traffic
from nat_lb.packet import Packet
from nat_lb.testing import packets
from nat_lb.trackers import Tcp, Udp


def summed(data: bytes) -> int:
    """RFC 1071 by the book: add the 16-bit words, fold the carries back in."""
    if len(data) % 2:
        data += b"\0"
    total = 0
    for at in range(0, len(data), 2):
        total += data[at] << 8 | data[at + 1]
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return total


def right_checksum(packet: bytes) -> int:
    """Return the transport checksum of a packet without options, summed anew."""
    at = 20 if packet[0] >> 4 == 4 else 40
    addresses = packet[12:20] if at == 20 else packet[8:40]
    protocol = packet[9] if at == 20 else packet[6]
    field = at + (16 if protocol == 6 else 6)
    body = packet[at:field] + b"\0\0" + packet[field + 2 :]
    result = 0xFFFF - summed(addresses + len(body).to_bytes(4, "big") + bytes((0, 0, 0, protocol)) + body)
    return 0xFFFF if protocol == 17 and result == 0 else result


def endpoints(version: int) -> st.SearchStrategy[Endpoint]:
    address: st.SearchStrategy[Address]
    if version == 4:
        address = st.integers(0, 2**32 - 1).map(IPv4Address)
    else:
        address = st.integers(0, 2**128 - 1).map(IPv6Address)
    return st.builds(Endpoint, address, st.integers(0, 65535))


THREE = st.sampled_from([4, 6]).flatmap(lambda version: st.tuples(*[endpoints(version)] * 3))
PAYLOADS = st.one_of(st.binary(max_size=40), st.binary(max_size=3).map(lambda part: part * 500))


@given(st.binary(max_size=200))
def test_ones_complement_sum_is_that_of_the_book(data: bytes) -> None:
    assert ones_sum(data) == summed(data)
    assert checksum(data) == 0xFFFF - summed(data)


@given(st.binary(min_size=2, max_size=60), st.data())
def test_replaced_bytes_adjust_a_checksum_to_the_recomputed_one(data: bytes, draw: st.DataObject) -> None:
    at = draw.draw(st.integers(0, len(data) // 2 - 1)) * 2
    old = data[at : at + draw.draw(st.integers(0, len(data)))]
    new = draw.draw(st.binary(min_size=len(old), max_size=len(old)))
    changed = data[:at] + new + data[at + len(old) :]
    adjusted = adjust(0xFFFF - summed(b"\1" + b"\0" + data), delta(old, new))
    assert adjusted % 0xFFFF == (0xFFFF - summed(b"\1" + b"\0" + changed)) % 0xFFFF


@given(st.integers(0, 0xFFFF), st.integers(0, 0xFFFE))
def test_adjusting_back_gives_the_same_field_again(check: int, change: int) -> None:
    there = adjust(check, change)
    assert 0 <= there <= 0xFFFF
    assert adjust(there, (0xFFFF - change) % 0xFFFF) % 0xFFFF == check % 0xFFFF


@given(THREE, PAYLOADS, st.booleans(), st.booleans())
def test_translated_packet_has_the_checksums_of_one_built_anew(
    three: tuple[Endpoint, Endpoint, Endpoint], payload: bytes, is_tcp: bool, original: bool
) -> None:
    client, virtual, real = three
    binding = Binding(Tcp if is_tcp else Udp, virtual, real, (Traffic(), Traffic()))
    before, after = (virtual, real) if original else (real, virtual)

    def build(server: Endpoint) -> bytes:
        ends = (str(client), str(server)) if original else (str(server), str(client))
        return packets.tcp(*ends, packets.ACK, payload) if is_tcp else packets.udp(*ends, payload)

    translation = binding.original if original else binding.reply
    translated = translation.apply(build(before))
    assert translated == build(after)
    at = Packet(translated).offset + (16 if is_tcp else 6)
    assert int.from_bytes(translated[at : at + 2], "big") == right_checksum(translated)
    if translated[0] >> 4 == 4:
        assert summed(translated[:20]) == 0xFFFF


@given(THREE, PAYLOADS)
def test_datagram_without_checksum_gets_the_right_one(
    three: tuple[Endpoint, Endpoint, Endpoint], payload: bytes
) -> None:
    client, virtual, real = three
    binding = Binding(Udp, virtual, real, (Traffic(), Traffic()))
    translated = binding.original.apply(packets.udp(str(client), str(virtual), payload, checksummed=False))
    assert translated == packets.udp(str(client), str(real), payload)


@given(THREE, PAYLOADS, st.integers(1, 0xFFFE), st.booleans())
def test_wrong_checksum_stays_wrong_by_the_same_amount_there_and_back(
    three: tuple[Endpoint, Endpoint, Endpoint], payload: bytes, wrong_by: int, original: bool
) -> None:
    client, virtual, real = three
    binding = Binding(Tcp, virtual, real, (Traffic(), Traffic()))
    before, translation = (virtual, binding.original) if original else (real, binding.reply)
    ends = (client, before) if original else (before, client)
    packet = bytearray(packets.tcp(str(ends[0]), str(ends[1]), packets.ACK, payload))
    at = Packet(bytes(packet)).offset + 16
    packet[at : at + 2] = adjust(int.from_bytes(packet[at : at + 2], "big"), wrong_by).to_bytes(2, "big")
    translated = translation.apply(packet)
    found = int.from_bytes(translated[at : at + 2], "big")
    assert (right_checksum(translated) - found) % 0xFFFF == wrong_by
