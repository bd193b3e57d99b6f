"""VLAN tags before XDP: 802.1Q and QinQ. Devices of the lab stand for VLAN devices, which not every kernel makes."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat_lb.testing.packets import ACK, SYN, tcp
from nat_lb_ebpf.devices import trunks_of

from .duel import DIRECTOR, REDIRECT, SOMEBODY, UP, Duel, Ground, lowered
from .nets import IPV4, NETS, Net

pytestmark = pytest.mark.live
HEAD = "VLAN Dev name    | VLAN ID\nName-Type: VLAN_NAME_TYPE_RAW_PLUS_VID_NO_PAD\n"
# What test runs come in by is the loopback; what goes to real servers leaves by "inside".
SINGLE = HEAD + "outside        | 10  | lo\ninside         | 20  | lo\n"
DOUBLE = HEAD + "outside | 10 | pub\npub | 100 | lo\ninside | 20 | prv\nprv | 100 | lo\n"
LOOPBACK = 1


@pytest.fixture
def xdp(ground: Ground, tmp_path: Path) -> Iterator[Duel]:
    with Duel(ground, "xdp") as duel:
        duel.path.devices.allow_xdp(LOOPBACK)
        yield duel
    duel.path.devices.learn_vlans(tmp_path / "none")


def tagged(packet: bytes, *tags: tuple[int, int]) -> bytes:
    """Return a packet in a frame with tags: the type, and priority with VLAN."""
    kind = b"\x08\0" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return DIRECTOR + SOMEBODY + b"".join(struct.pack("!HH", *tag) for tag in tags) + kind + packet


def run(duel: Duel, sent: bytes) -> bytes | None:
    """Return the tags and the packet that leave, None if the frame went up as it came."""
    returned, left, _ = duel.path.kernel.xdp.run(sent)
    if returned == UP["xdp"]:
        assert left == sent
        return None
    assert returned == REDIRECT["xdp"]
    return left[12:]


@pytest.mark.parametrize("net", NETS, ids=("ipv4", "ipv6"))
def test_tag_is_exchanged_for_that_of_the_way_out(net: Net, xdp: Duel, tmp_path: Path) -> None:
    (tmp_path / "config").write_text(SINGLE)
    xdp.path.devices.learn_vlans(tmp_path / "config")
    xdp.serve(net.service(f"{net.one}:8000"))
    opening = tcp(f"{net.client}:3000", f"{net.vip}:80", SYN)
    out = run(xdp, tagged(opening, (0x8100, 0xA00A)))
    slow = xdp.slow(opening)
    assert out is not None
    assert slow is not None
    assert out[:4] == struct.pack("!HH", 0x8100, 0xA014)  # the priority stays
    assert out[6:] == lowered(slow)


def test_both_tags_are_exchanged_where_there_are_two(
    xdp: Duel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    indexes = {"lo": LOOPBACK, "outside": 2, "inside": 3, "pub": 98, "prv": 99}
    monkeypatch.setattr("nat_lb_ebpf.devices._index", indexes.__getitem__)
    (tmp_path / "config").write_text(DOUBLE)
    xdp.path.devices.learn_vlans(tmp_path / "config")
    xdp.serve(IPV4.service(f"{IPV4.one}:8000"))
    opening = tcp(f"{IPV4.client}:3000", f"{IPV4.vip}:80", SYN)
    out = run(xdp, tagged(opening, (0x88A8, 100), (0x8100, 10)))
    assert out is not None
    assert out[:8] == struct.pack("!HHHH", 0x88A8, 100, 0x8100, 20)


def test_frames_that_would_change_their_number_of_tags_go_up(xdp: Duel, tmp_path: Path) -> None:
    xdp.serve(IPV4.service(f"{IPV4.one}:8000"))
    opening = tcp(f"{IPV4.client}:3000", f"{IPV4.vip}:80", SYN)
    assert run(xdp, tagged(opening, (0x8100, 10))) is None  # no device has that tag
    (tmp_path / "config").write_text(SINGLE)
    xdp.path.devices.learn_vlans(tmp_path / "config")
    assert run(xdp, tagged(opening)) is None  # would leave with a tag
    assert run(xdp, tagged(opening, (0x8100, 11))) is None
    assert run(xdp, tagged(opening, (0x8100, 10), (0x8100, 10))) is None
    assert run(xdp, tagged(opening, (0x8100, 10), (0x8100, 10), (0x8100, 10))) is None
    assert run(xdp, tagged(opening, (0x8100, 10))[:18]) is None  # nothing after the tag
    assert run(xdp, tagged(opening, (0x8100, 10))) is not None
    assert run(xdp, tagged(tcp(f"{IPV4.client}:3001", f"{IPV4.vip}:80", ACK), (0x8100, 10))) is None


def test_list_of_vlans_is_read_as_the_kernel_writes_it(tmp_path: Path, ground: Ground) -> None:
    (tmp_path / "config").write_text(SINGLE)
    found = {name: (trunk.carrier, trunk.outer, trunk.inner) for name, trunk in trunks_of(tmp_path / "config")}
    assert found == {"outside": (LOOPBACK, 10, 0), "inside": (LOOPBACK, 20, 0)}
    assert list(trunks_of(tmp_path / "none")) == []
