"""Internet checksums on worked examples; the properties are in tests/property."""

from __future__ import annotations

from nat_lb.checksum import adjust, checksum, delta, ones_sum


def test_worked_example_of_rfc_1071_gives_its_sum() -> None:
    assert ones_sum(bytes.fromhex("0001f203f4f5f6f7")) == 0xDDF2
    assert checksum(bytes.fromhex("0001f203f4f5f6f7")) == 0x220D


def test_worked_example_of_rfc_1624_gives_its_checksum() -> None:
    assert adjust(0xDD2F, delta(b"\x55\x55", b"\x32\x85")) == 0x0000


def test_odd_last_octet_is_the_high_half_of_a_word() -> None:
    assert ones_sum(b"\x12\x34\x56") == ones_sum(b"\x12\x34\x56\x00") == 0x1234 + 0x5600


def test_sum_of_nothing_is_zero_and_of_all_ones_is_all_ones() -> None:
    assert (ones_sum(b""), ones_sum(bytes(10)), ones_sum(b"\xff\xff")) == (0, 0, 0xFFFF)


def test_same_bytes_change_nothing() -> None:
    assert delta(b"same", b"same") == 0
    assert adjust(0xFFFF, 0) == 0xFFFF
