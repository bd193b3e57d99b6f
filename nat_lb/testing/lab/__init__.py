"""A live lab for directors, schedulers and helpers: real programs, in network namespaces, removed at the end.

    with Lab() as lab, Nginx(lab.servers[0]), capture(lab.client) as pcap:
        lab.start_director(TOML)
        page = lab.client.run(["curl", "-s", f"http://{lab.vip}/"])
    assert check_with_tshark(pcap) == []

Needs root, or root of a user namespace, and Linux programs: iproute2, ethtool, procps, tshark; the real servers are in
`nat_lb.testing.servers`. The addresses are those of `topology`: client 202.100.1.2, VIP 202.103.106.5, real servers
172.16.0.2 and 172.16.0.3, and as many of IPv6.

Namespaces are made by iproute2's `ip` and not by a netlink library: what the lab does can be read, and typed by hand.
"""

from __future__ import annotations

from nat_lb.testing.lab.capture import capture, check_with_tshark
from nat_lb.testing.lab.director import RunningDirector
from nat_lb.testing.lab.errors import LabError
from nat_lb.testing.lab.host import Host
from nat_lb.testing.lab.namespaces import remove_lab, remove_leftovers
from nat_lb.testing.lab.network import Lab
from nat_lb.testing.lab.waiting import wait_until

__all__ = [
    "Host",
    "Lab",
    "LabError",
    "RunningDirector",
    "capture",
    "check_with_tshark",
    "remove_lab",
    "remove_leftovers",
    "wait_until",
]
