"""Devices: where the programs are attached.

The law: attaching puts this process's program in the place of an earlier one without a gap, and what is attached stays
until it is detached, whatever becomes of the process.
"""

from __future__ import annotations

import ctypes as c
import errno
import fcntl
import socket
import struct
from collections.abc import Iterator
from pathlib import Path

from nat_lb_ebpf import libbpf, tcx
from nat_lb_ebpf.arrays import word
from nat_lb_ebpf.errors import FastPathFault
from nat_lb_ebpf.kernel import TC_PROGRAM, XDP_PROGRAM, Kernel
from nat_lb_ebpf.layout import Trunk
from nat_lb_ebpf.libbpf import TcHook, TcOptions

_INGRESS, _REPLACE = 1, 1
_SIOCGIFHWADDR, _ETHERNET = 0x8927, 1
_HANDLE, _PRIORITY = 0x6E61, 0x6E6C  # "na", "nl": ours among a device's filters
VLAN_CONFIG = Path("/proc/thread-self/net/vlan/config")  # of this network namespace; not there without VLANs
_DRIVER, _GENERIC = 4, 2  # XDP_FLAGS_DRV_MODE, XDP_FLAGS_SKB_MODE


def ethernet_devices() -> set[str]:
    """Return the names of this network namespace's devices that have Ethernet frames."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        return {name for _, name in socket.if_nameindex() if _hardware(asking, name) == _ETHERNET}


def _hardware(asking: socket.socket, device: str) -> int:
    """Return a device's hardware type (ARPHRD_…), 0 if it is gone; netdevice(7)."""
    request = struct.pack("16s24x", device.encode()[:15])
    try:
        answer = fcntl.ioctl(asking, _SIOCGIFHWADDR, request)
    except OSError:
        return 0
    return int(struct.unpack_from("=H", answer, 16)[0])


def xdp_program(index: int) -> str:
    """Return the name of the XDP program that runs on a device, given by its index; empty if none does."""
    number = c.c_uint32()
    libbpf.call(f"device {index}: asking for XDP", "bpf_xdp_query_id", index, 0, c.byref(number))
    return libbpf.program_name(number.value) if number.value else ""


class Devices:
    """The devices of this network namespace that the programs run on."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel

    def attach_tc(self, device: str) -> None:
        """Run the TC program on what comes in by a device of Ethernet frames; packets on their way are not lost."""
        if tcx.attach(_index(device), self._kernel.tc):
            _remove_filter(device)  # of an earlier kernel's or version's
        else:
            hook, options = _hook(device), _filter(prog_fd=self._kernel.tc.fd, flags=_REPLACE)
            libbpf.call(f"{device}: making a clsact qdisc", "bpf_tc_hook_create", c.byref(hook), fine=(errno.EEXIST,))
            libbpf.call(f"{device}: attaching to TC", "bpf_tc_attach", c.byref(hook), c.byref(options))
        self.learn_vlans()  # this may be one

    @staticmethod
    def detach_tc(device: str) -> None:
        """Take the TC program off a device; it is no fault if it is not there."""
        tcx.detach(_index(device), TC_PROGRAM)
        _remove_filter(device)

    def attach_xdp(self, device: str, *, generic: bool = False) -> None:
        """Run the XDP program on what comes in by a device, and let frames leave by it.

        Raises `FastPathFault` where the driver has no XDP, or runs somebody else's program; `generic` runs it in the
        stack, for tests.
        """
        index, flags = _index(device), _GENERIC if generic else _DRIVER
        present = xdp_program(index)
        if present not in ("", self._kernel.xdp.name):
            raise FastPathFault(
                f"{device}: the XDP program {present} is there. Remedy: take it off, or do without XDP."
            )
        fd = self._kernel.xdp.fd
        libbpf.call(f"{device}: attaching to XDP", "bpf_xdp_attach", index, fd, c.c_uint32(flags), None)
        self.allow_xdp(index)
        self.learn_vlans()

    @staticmethod
    def detach_xdp(device: str, *, generic: bool = False) -> None:
        """Take the XDP program off a device; nothing if there is none, or somebody else's."""
        index, flags = _index(device), _GENERIC if generic else _DRIVER
        if xdp_program(index) == XDP_PROGRAM:
            libbpf.call(f"{device}: detaching from XDP", "bpf_xdp_detach", index, c.c_uint32(flags), None)

    def allow_xdp(self, index: int) -> None:
        """Let frames leave by a device, given by its index, whose driver takes them."""
        self._kernel.maps["devices"].put(word(index), word(index))

    def learn_vlans(self, config: Path = VLAN_CONFIG) -> None:
        """Tell the XDP program which tags lead to which VLAN device, as the kernel has them now.

        TC needs none of it: it runs on the VLAN devices themselves. A driver that takes tags off by itself must be told
        not to (`ethtool -K DEVICE rxvlan off`) where XDP is to see VLANs.
        """
        trunks = {_index(name): trunk for name, trunk in trunks_of(config)}
        for kind in ("vlans", "trunks"):
            for key in list(self._kernel.maps[kind]):
                self._kernel.maps[kind].delete(key)
        for index, trunk in trunks.items():
            self._kernel.maps["vlans"].put(bytes(trunk), word(index))
            self._kernel.maps["trunks"].put(word(index), bytes(trunk))
        self._kernel.maps["vlan_count"].put(bytes(4), word(len(trunks)))


def trunks_of(config: Path) -> Iterator[tuple[str, Trunk]]:
    """Yield every VLAN device of one or two tags with its carrier and tags, from the kernel's list of VLANs."""
    lines = config.read_text().splitlines()[2:] if config.exists() else []
    rows = [[word.strip() for word in line.split("|")] for line in lines]
    parents = {name: (int(tag), below) for name, tag, below in rows}
    for name in parents:
        tags: list[int] = []
        below = name
        while below in parents:
            tag, below = parents[below]
            tags.insert(0, tag)
        if len(tags) <= 2:
            yield name, Trunk(_index(below), tags[0], tags[1] if len(tags) == 2 else 0)


def _index(device: str) -> int:
    try:
        return socket.if_nametoindex(device)
    except OSError:
        raise FastPathFault(
            f"nat-lb-ebpf: there is no device {device}. Remedy: name one that `ip link` shows."
        ) from None


def _hook(device: str) -> TcHook:
    return TcHook(sz=c.sizeof(TcHook), ifindex=_index(device), attach_point=_INGRESS)


def _remove_filter(device: str) -> None:
    hook, options = _hook(device), _filter()
    gone = (errno.ENOENT, errno.EINVAL, errno.ENODEV)
    libbpf.call(f"{device}: detaching from TC", "bpf_tc_detach", c.byref(hook), c.byref(options), fine=gone)


def _filter(**fields: int) -> TcOptions:
    return TcOptions(sz=c.sizeof(TcOptions), handle=_HANDLE, priority=_PRIORITY, **fields)
