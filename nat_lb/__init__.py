"""nat-lb: a load balancer by network address translation (VS/NAT), programmable in Python.

A director owns virtual IPs. A client's packet to a virtual service is rewritten to the real server that a scheduler
chose, the real server's replies are rewritten back, and the connection table remembers the choice. Python decides;
what needs no more deciding can be handed to the kernel.

The map, from the bottom up; each layer imports only those above it in this list:

    errors verdict                       whose fault it was; what becomes of a packet
    flow checksum packet segment         addresses, keys, sums, headers: the only code that knows IPv4 from IPv6
    tracker trackers/                    protocols' state machines, as tables
    hashing recent fallback              what schedulers share: flow hashes, a bounded memory, a stand-in
    nat reject seqadj stream             rewriting one packet; refusing one; where a rewritten stream moved
    service scheduler helper             virtual services, real servers, and what plugins build on
    connection expectation persistence   who goes where, until when
    faults eventlog report explain       what is told: failures, events, tables, reasons
    payload icmp                         application payloads and quoted packets
    config/ hookspecs core plugins       the operator's wishes; the seams; what is plugged in
    lifecycle pipeline builder director  a connection's life; a packet's way; a configuration made; all of it wired
    io/                                  queue, netfilter, raw sockets, pcap: the only doors to the outside
    testing/                             the kit for plugin authors
    cli/ demo/ skeleton/                 the command line, its demonstration, the plugins it writes

Plugins import `nat_lb.api` and, in their tests, `nat_lb.testing`.
"""

from __future__ import annotations

__version__ = "0.1.0"
