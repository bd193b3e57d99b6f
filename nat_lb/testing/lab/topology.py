"""The lab's network as data: who has which address, and the commands that make it so.

        client  202.100.1.2 ─┐                                   ┌─ 172.16.0.2  server 1
                             ├─ outside ─ DIRECTOR ─ inside ─────┤
    2nd client  202.100.1.3 ─┘    VIP 202.103.106.5 (on lo)      └─ 172.16.0.3  server 2

The law: no namespace has a way out, both families work alike, and every device sends finished checksums, so that a
capture on any leg can be judged.

Both segments are bridges in a namespace of their own ("switch"), so that the director has two plain devices.
"""

from __future__ import annotations

from dataclasses import dataclass

VIP_V4 = "202.103.106.5"
VIP_V6 = "2001:db8:103::5"

DIRECTOR_SYSCTLS = ("net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
# Addresses are usable at once: nobody else is there to have them.
HOST_SYSCTLS = tuple(
    f"net.ipv6.conf.{scope}.{setting}=0" for scope in ("all", "default") for setting in ("disable_ipv6", "accept_dad")
)


@dataclass(frozen=True, slots=True)
class Segment:
    """One network: the director is address 1 in it, the hosts are 2, 3, …"""

    device: str
    v4: str
    v6: str

    def host_v4(self, number: int) -> str:
        """Return the IPv4 address of host `number`."""
        return f"{self.v4}.{number}"

    def host_v6(self, number: int) -> str:
        """Return the IPv6 address of host `number`."""
        return f"{self.v6}::{number:x}"


OUTSIDE = Segment("outside", "202.100.1", "2001:db8:100")
INSIDE = Segment("inside", "172.16.0", "fd00:172:16")


def switch_commands() -> list[str]:
    """Return the `ip` commands that make the two bridges, to be run in the switch's namespace."""
    kind = "type bridge stp_state 0 forward_delay 0 mcast_snooping 0"
    return [
        line
        for segment in (OUTSIDE, INSIDE)
        for line in (f"link add {segment.device} {kind}", f"link set {segment.device} up")
    ]


def plug_commands(segment: Segment, port: str, namespace: str, device: str) -> list[str]:
    """Return the commands, run in the switch's namespace, for a cable from a bridge to `device` of a host."""
    return [
        f"link add {port} type veth peer name {device} netns {namespace}",
        f"link set {port} master {segment.device}",
        f"link set {port} up",
    ]


def director_commands() -> list[str]:
    """Return the commands that give the director its addresses and the VIP."""
    lines = ["link set lo up", f"addr add {VIP_V4}/32 dev lo", f"addr add {VIP_V6}/128 dev lo nodad"]
    for segment in (OUTSIDE, INSIDE):
        lines += _addresses(segment, 1, segment.device)
    return lines


def host_commands(segment: Segment, number: int, device: str) -> list[str]:
    """Return the commands that give a host its addresses and the director as its gateway."""
    gateways = [f"route add default via {segment.host_v4(1)}", f"route add ::/0 via {segment.host_v6(1)}"]
    return ["link set lo up", *_addresses(segment, number, device), *gateways]


def _addresses(segment: Segment, number: int, device: str) -> list[str]:
    return [
        f"addr add {segment.host_v4(number)}/24 dev {device}",
        f"addr add {segment.host_v6(number)}/64 dev {device} nodad",
        f"link set {device} up",
    ]
