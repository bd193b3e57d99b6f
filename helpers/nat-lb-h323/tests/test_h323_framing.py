"""TPKT and Q.931: where one message ends, and where its ASN.1 is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nat_lb_h323.content import UnreadableError
from nat_lb_h323.framing import find_user_information, is_tpkt, tpkt_length

CALL = b"\x08\x02\x00\x01\x05"  # the header of a Setup
USER = b"\x7e\x00\x03\x05ab"


def tpkt(content: bytes) -> bytes:
    return b"\x03\x00" + (len(content) + 4).to_bytes(2, "big") + content


def test_message_is_whole_only_with_its_last_octet() -> None:
    data = tpkt(b"hello")
    assert [tpkt_length(data[:end]) for end in range(1, len(data) + 1)] == [0] * 8 + [9]
    assert tpkt_length(data + tpkt(b"more")) == 9


def test_tpkt_without_content_is_a_message() -> None:
    assert tpkt_length(tpkt(b"") + tpkt(b"x")) == 4
    assert find_user_information(tpkt(b"")) is None


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"\x03\x01\x00\x09hello", b"\x03\x00\x00\x03x", b"\x04"])
def test_octets_of_another_protocol_are_one_message_and_no_tpkt(data: bytes) -> None:
    assert tpkt_length(data) == len(data)
    assert not is_tpkt(data)


@given(st.lists(st.binary(max_size=30), max_size=5), st.binary(max_size=3))
def test_messages_are_cut_off_one_by_one(contents: list[bytes], rest: bytes) -> None:
    data, found = b"".join(map(tpkt, contents)), []
    while data:
        length = tpkt_length(data)
        found.append(data[4:length])
        assert is_tpkt(data[:length])
        data = data[length:]
    assert found == contents


@pytest.mark.parametrize(
    "before",
    [b"", b"\x28\x04Test", b"\xa1", b"\x04\x03\x88\x93\xa5\xa1\x70\x02\x80\x31"],
    ids=["nothing", "display", "sending complete", "three elements"],
)
def test_user_information_is_found_behind_other_elements(before: bytes) -> None:
    start = 4 + len(CALL) + len(before) + 4
    assert find_user_information(tpkt(CALL + before + USER)) == (start, start + 2)
    assert find_user_information(tpkt(CALL + before + USER + b"\x28\x01x")) == (start, start + 2)


def test_call_reference_may_have_any_length() -> None:
    message = tpkt(b"\x08\x03\x00\x00\x01\x05" + USER)
    assert find_user_information(message) == (14, 16)


@pytest.mark.parametrize(
    "content", [CALL, CALL + b"\x28\x04Test", CALL + b"\x7e\x00\x03\x04ab", CALL + b"\x7e\x00\x00"]
)
def test_message_without_asn1_has_no_user_information(content: bytes) -> None:
    assert find_user_information(tpkt(content)) is None


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"\x09\x02\x00\x01\x05", "no Q.931 message but octet 0x09"),
        (b"\x08", "no Q.931 message but octet 0x08"),
        (CALL + b"\x7e\x00\x09\x05ab", "element 0x7e of 12 octets where 6 are left"),
        (CALL + b"\x28\x04Te", "element 0x28 of 6 octets where 4 are left"),
        (CALL + b"\x28", "element 0x28 of 2 octets where 1 are left"),
    ],
)
def test_broken_message_says_what_is_wrong_with_it(content: bytes, why: str) -> None:
    with pytest.raises(UnreadableError, match=rf"^{why}$"):
        find_user_information(tpkt(content))


@given(st.binary(max_size=60))
def test_no_octets_lead_outside_of_the_message(content: bytes) -> None:
    message = tpkt(content)
    try:
        found = find_user_information(message)
    except UnreadableError:
        return
    assert found is None or 4 < found[0] <= found[1] <= len(message)
