"""Real programs talk through the attached programs, with the kernel's own forwarding switched off or not needed."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nat_lb.testing.lab import Host
from nat_lb_ebpf import Counter, FastPathFault

from .duel import Duel, Ground
from .nets import IPV4, IPV6, Net

pytestmark = pytest.mark.live
DEVICES = ("outside", "inside")
PAGE = bytes(range(256)) * 8192  # 2 MiB: many segments, and segments of segments


@pytest.fixture(scope="module")
def server(ground: Ground) -> Iterator[Host]:
    """A real server's web server, whose page is known."""
    host = ground.lab.servers[0]
    (Path(ground.lab.directory) / "page").write_bytes(PAGE)
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "http.server",
        "8000",
        "--bind",
        "::",
        "--directory",
        ground.lab.directory,
    ]
    child = host.spawn(command)
    host.wait_listening(8000)
    yield host
    host.stop(child)


def offload(ground: Ground, setting: str) -> None:
    """Switch every offload of all hosts, and what XDP needs at the other ends of the director's cables."""
    kinds = [word for kind in ("tx", "tso", "gso", "gro") for word in (kind, setting)]
    for host in ground.lab.hosts:
        for device in DEVICES if host is ground.lab.director else (host.device,):
            host.run(["ethtool", "-K", device, *kinds])


def fetch(ground: Ground, net: Net) -> None:
    """Fetch the page twice, on two connections."""
    for _ in range(2):
        command = ["curl", "-sS", "-g", "--max-time", "20", "-o", "got", f"http://{net.vip}/page"]
        done = ground.lab.client.run(command, cwd=ground.lab.directory)
        assert not done.returncode, done.stderr
        got = (Path(ground.lab.directory) / "got").read_bytes()
        assert hashlib.sha256(got).digest() == hashlib.sha256(PAGE).digest()


def check_counted(duel: Duel, server: str) -> None:
    """Everything went through the kernel's programs, segment by segment."""
    load = duel.path.services.load(duel.services[0], duel.server(server))
    assert load.opened == 2
    assert load.packets[1] >= 2 * len(PAGE) // 1448
    assert load.octets[1] > 2 * len(PAGE) + 40 * load.packets[1]
    assert all(len(PAGE) < load.octets[1] < 3 * len(PAGE) for _ in load.packets)


@pytest.mark.parametrize("net", [IPV4, IPV6], ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("setting", ["on", "off"])
def test_tc_carries_a_page_with_and_without_offload(
    setting: str, net: Net, ground: Ground, tc: Duel, server: Host
) -> None:
    tc.serve(net.service(f"{net.one}:8000"))
    offload(ground, setting)
    for device in DEVICES:
        tc.path.devices.attach_tc(device)
        tc.path.devices.attach_tc(device)  # takes the place of the first
    try:
        fetch(ground, net)
    finally:
        for device in DEVICES:
            tc.path.devices.detach_tc(device)
            tc.path.devices.detach_tc(device)  # it is no fault that it is gone
        offload(ground, "off")
    check_counted(tc, f"{net.one}:8000")


@pytest.mark.parametrize("net", [IPV4, IPV6], ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("generic", [True, False], ids=("generic", "native"))
def test_xdp_carries_a_page_before_the_stack_sees_it(
    generic: bool, net: Net, ground: Ground, tc: Duel, server: Host
) -> None:
    tc.serve(net.service(f"{net.one}:8000"))
    offload(ground, "off")
    switch = Host("switch", f"{ground.lab.name}-switch", Path(ground.lab.directory), v4="", v6="")
    ports = [line.split(":")[1].split("@")[0].strip() for line in switch.run(["ip", "-o", "link"]).stdout.splitlines()]
    for port in ports:  # a veth takes frames only if its other end polls; what goes in must be as on a wire
        switch.run(["ethtool", "-K", port, "gro", "off" if generic else "on", "gso", "off", "tso", "off", "tx", "off"])
    for device in DEVICES:
        tc.path.devices.attach_xdp(device, generic=generic)
    try:
        fetch(ground, net)
    finally:
        for device in DEVICES:
            tc.path.devices.detach_xdp(device, generic=generic)
        for number in (2, 3):
            tc.path.devices.allow_xdp(number)
    check_counted(tc, f"{net.one}:8000")


def test_unknown_next_hop_is_resolved_by_the_kernel(ground: Ground, tc: Duel, server: Host) -> None:
    tc.serve(IPV4.service(f"{IPV4.one}:8000"))
    forget = ["ip", "neighbor", "del", server.v4, "dev", "inside"]
    link = ["ip", "neighbor", "show", "to", server.v4, "dev", "inside"]
    before = ground.lab.director.run(link).stdout.split()[2]
    ground.lab.director.run(forget, check=True)
    up = tc.path.counters()
    for device in DEVICES:
        tc.path.devices.attach_tc(device)
    try:
        fetch(ground, IPV4)
    finally:
        for device in DEVICES:
            tc.path.devices.detach_tc(device)
        again = ["ip", "neighbor", "replace", server.v4, "lladdr", before, "dev", "inside", "nud", "permanent"]
        ground.lab.director.run(again, check=True)
    after = tc.path.counters()
    assert {counter for counter in Counter if after[counter] != up[counter]} == {Counter.NEW_CONNECTIONS}
    check_counted(tc, f"{IPV4.one}:8000")


def test_device_that_is_not_there_is_told(tc: Duel) -> None:
    with pytest.raises(FastPathFault, match="no device nothere"):
        tc.path.devices.attach_tc("nothere")
