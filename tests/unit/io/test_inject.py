"""Injected packets: the right socket, the mark, and no exception ever."""

from __future__ import annotations

import errno
import socket
from typing import Any, ClassVar

import pytest

from nat_lb.errors import SystemFault
from nat_lb.io.inject import MARK, Injector
from nat_lb.packet import UDP, build

V4 = build(bytes([192, 0, 2, 1]), bytes([10, 0, 0, 9]), UDP, bytes(8))
V6 = build(bytes(15) + b"\1", bytes(15) + b"\2", UDP, bytes(8))


class FakeSocket:
    """Stands in for a raw socket, which only root may open."""

    made: ClassVar[list[FakeSocket]]
    refuse: ClassVar[dict[int, OSError]]

    def __init__(self, family: int, kind: int, protocol: int) -> None:
        if family in self.refuse:
            raise self.refuse[family]
        self.family, self.arguments = family, (kind, protocol)
        self.options: list[tuple[int, int, int]] = []
        self.sent: list[tuple[bytes, int, tuple[str, int]]] = []
        self.failure: OSError | None = None
        self.made.append(self)

    def setsockopt(self, *option: int) -> None:
        self.options.append(option)  # type: ignore[arg-type]

    def sendto(self, packet: bytes, flags: int, destination: tuple[str, int]) -> None:
        if self.failure is not None:
            raise self.failure
        self.sent.append((packet, flags, destination))

    def close(self) -> None:
        self.failure = OSError(errno.EBADF, "closed")


@pytest.fixture
def sockets(monkeypatch: pytest.MonkeyPatch) -> type[FakeSocket]:
    FakeSocket.made, FakeSocket.refuse = [], {}
    monkeypatch.setattr(socket, "socket", FakeSocket)
    return FakeSocket


def test_each_family_goes_out_of_its_marked_raw_socket(sockets: type[FakeSocket]) -> None:
    injector = Injector()
    injector.send(V4)
    injector.send(V6)
    v4, v6 = sockets.made
    assert v4.sent == [(V4, socket.MSG_DONTWAIT, ("10.0.0.9", 0))]
    assert v6.sent == [(V6, socket.MSG_DONTWAIT, ("::2", 0))]
    for made in (v4, v6):
        assert made.arguments == (socket.SOCK_RAW, socket.IPPROTO_RAW)
        assert made.options == [(socket.SOL_SOCKET, socket.SO_MARK, MARK)]
    assert (injector.sent, injector.failed.total()) == (2, 0)


@pytest.mark.parametrize("number", [errno.EMSGSIZE, errno.EPERM, errno.ENETUNREACH, errno.ENOBUFS])
def test_what_the_kernel_refuses_is_counted_by_name(sockets: type[FakeSocket], number: int) -> None:
    injector = Injector()
    sockets.made[0].failure = OSError(number, "refused")
    injector.send(V4)
    assert (injector.sent, dict(injector.failed)) == (0, {errno.errorcode[number]: 1})


@pytest.mark.parametrize("nonsense", [b"", b"\x45", b"\x45" + bytes(18), b"\x60" + bytes(30)])
def test_bytes_that_are_no_packet_are_counted(sockets: type[FakeSocket], nonsense: bytes) -> None:
    injector = Injector()
    injector.send(nonsense)
    assert (injector.sent, dict(injector.failed)) == (0, {"malformed": 1})


def test_machine_without_ipv6_still_sends_ipv4(sockets: type[FakeSocket]) -> None:
    sockets.refuse[socket.AF_INET6] = OSError(errno.EAFNOSUPPORT, "no IPv6")
    injector = Injector()
    injector.send(V4)
    injector.send(V6)
    assert (injector.sent, dict(injector.failed)) == (1, {"EAFNOSUPPORT": 1})


def test_missing_privilege_names_the_capabilities(sockets: type[FakeSocket]) -> None:
    sockets.refuse[socket.AF_INET] = PermissionError(errno.EPERM, "Operation not permitted")
    with pytest.raises(SystemFault, match=r"cannot open a raw socket: Operation not permitted.*CAP_NET_RAW"):
        Injector()


def test_closed_injector_counts_and_does_not_raise(sockets: type[FakeSocket]) -> None:
    injector: Any = Injector()
    injector.close()
    injector.send(V4)
    assert dict(injector.failed) == {"EBADF": 1}
