"""Devices: whose MTU counts."""

from __future__ import annotations

import socket

from nat_lb.io.devices import largest_mtu

FLAGS, MTU = 0x8913, 0x8921
UP, LOOPBACK = 0x1, 0x8
DEVICES = {
    "lo": {FLAGS: UP | LOOPBACK, MTU: 65536},
    "eth0": {FLAGS: UP, MTU: 1500},
    "eth1": {FLAGS: UP, MTU: 9000},
}


def ask(name: str, what: int) -> int:
    if name not in DEVICES:
        raise OSError("No such device")
    return DEVICES[name][what]


def test_loopback_does_not_count_as_a_device_with_jumbo_frames() -> None:
    assert largest_mtu(["lo", "eth0"], ask) == 1500
    assert largest_mtu(["lo"], ask) == 0


def test_largest_of_several_devices_is_told() -> None:
    assert largest_mtu(["eth0", "eth1", "lo"], ask) == 9000


def test_device_that_is_gone_meanwhile_does_not_count() -> None:
    assert largest_mtu(["eth0", "gone"], ask) == 1500


def test_kernel_answers_for_the_devices_that_there_are() -> None:
    assert 0 <= largest_mtu() <= 65536
    assert largest_mtu(["lo"]) == 0
    assert largest_mtu([name for _, name in socket.if_nameindex()]) == largest_mtu()
