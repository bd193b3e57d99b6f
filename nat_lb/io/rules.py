"""The netfilter rules of a director, as text for iptables-restore.

The law: what was translated once is not queued again (`MARK`), nothing but the transport protocols and ICMP errors is
queued, and packets that concern no real server and no VIP are touched only if they are ICMP errors.

    raw     PREROUTING, OUTPUT     -> NAT-LB-IN      to a VIP: before the kernel's connection tracking and routing
    mangle  POSTROUTING, INPUT     -> NAT-LB-OUT     from a real server, and every ICMP error, which may quote one

The raw table's NAT-LB-DEFRAG is a chain that nothing jumps to: that its rule exists makes the kernel reassemble
fragments before they reach the raw table, in both families, without tracking connections.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nat_lb.io.inject import MARK
from nat_lb.io.nfqueue import LARGE

TAG = "nat-lb"
_IN, _OUT, _DEFRAG = "NAT-LB-IN", "NAT-LB-OUT", "NAT-LB-DEFRAG"
_OURS, _TAKE, _PASS = "NAT-LB-OURS", "NAT-LB-TAKE", "NAT-LB-PASS"
_HOOKS = {"raw": {"PREROUTING": _IN, "OUTPUT": _IN}, "mangle": {"POSTROUTING": _OUT, "INPUT": _OUT}}
TABLES = tuple(_HOOKS)

_CHAIN = re.compile(r"^:(NAT-LB-\S+)", re.MULTILINE)
_JUMP = re.compile(r"^-A ((?!NAT-LB-)\S+ .*-j NAT-LB-\S+)$", re.MULTILINE)
_QUEUE = re.compile(r"^-A NAT-LB-.* --queue-num (\d+)", re.MULTILINE)


@dataclass(frozen=True)
class Family:
    """What differs between iptables and ip6tables; `errors` are the ICMP types that quote a packet."""

    version: int
    program: str
    icmp: str
    type_option: str
    errors: tuple[int, ...]


IPV4 = Family(4, "iptables", "icmp", "--icmp-type", (3, 4, 11, 12))
IPV6 = Family(6, "ip6tables", "icmpv6", "--icmpv6-type", (1, 2, 3, 4))


@dataclass(frozen=True)
class Plan:
    """What one family's rules are to queue, and where to; `jumbo` says that TCP segments may be over `LARGE` octets."""

    vips: tuple[str, ...]
    real_servers: tuple[str, ...]
    queue: int
    protocols: tuple[str, ...]
    jumbo: bool = False


def installation(family: Family, table: str, plan: Plan, saved: str) -> str:
    """Return the transaction that makes `table` what `plan` says; `saved` is what iptables-save says it is now.

    A jump that is there already stays, so that no packet passes unqueued while the rules behind it are replaced.
    """
    chains = _raw(family, plan) if table == "raw" else _mangle(family, plan)
    wanted = [f"{hook} -m comment --comment {TAG} -j {chain}" for hook, chain in _HOOKS[table].items()]
    present = _JUMP.findall(saved)
    stale = [name for name in _CHAIN.findall(saved) if name not in chains]
    lines = [f":{name} - [0:0]" for name in [*chains, *stale]]  # declared means emptied
    lines += [f"-A {name} {rule}" for name, rules in chains.items() for rule in rules]
    lines += [f"-D {jump}" for jump in present if jump not in wanted]
    lines += [f"-A {jump}" for jump in wanted if jump not in present]
    lines += [f"-X {name}" for name in stale]
    return _transaction(table, lines)


def removal(table: str, saved: str) -> str:
    """Return the transaction that takes everything of ours out of `table`, "" if there is nothing."""
    chains = _CHAIN.findall(saved)
    lines = [f":{name} - [0:0]" for name in chains]
    lines += [f"-D {jump}" for jump in _JUMP.findall(saved)]
    lines += [f"-X {name}" for name in chains]
    return _transaction(table, lines) if lines else ""


def queues_in(saved: str) -> set[int]:
    """Return the numbers of the queues that rules of ours lead to."""
    return {int(number) for number in _QUEUE.findall(saved)}


def _transaction(table: str, lines: Iterable[str]) -> str:
    return "\n".join([f"*{table}", *lines, "COMMIT", ""])


def _raw(family: Family, plan: Plan) -> dict[str, list[str]]:
    return {
        _IN: [_unless_marked(), *(f"-d {vip} -j {_OURS}" for vip in plan.vips)],
        _OURS: list(_ours(family, plan)),
        _TAKE: list(_into_queue(plan)),
        _DEFRAG: ["-p udp -m socket -j RETURN"],
    }


def _mangle(family: Family, plan: Plan) -> dict[str, list[str]]:
    """With nobody at the queue, ICMP errors that may be anyone's pass (`--queue-bypass`); a real server's do not."""
    servers = (f"-s {server} -j {_OURS}" for server in plan.real_servers)
    return {
        _OUT: [_unless_marked(), *servers, *(f"{match} -j {_PASS}" for match in _icmp_errors(family))],
        _OURS: list(_ours(family, plan)),
        _TAKE: list(_into_queue(plan)),
        _PASS: [f"{rule} --queue-bypass" for rule in _into_queue(plan)],
    }


def _unless_marked() -> str:
    return f"-m mark --mark {MARK:#x}/{MARK:#x} -j RETURN"


def _icmp_errors(family: Family) -> Iterator[str]:
    return (f"-p {family.icmp} -m {family.icmp} {family.type_option} {number}" for number in family.errors)


def _ours(family: Family, plan: Plan) -> Iterator[str]:
    for match in [*(f"-p {protocol}" for protocol in plan.protocols), *_icmp_errors(family)]:
        yield f"{match} -j {_TAKE}"


def _into_queue(plan: Plan) -> Iterator[str]:
    """Part the packets between the queues, each TCP connection whole: segments in two queues would overtake each other.

    A TCP packet's length here says nothing: the kernel has joined segments (GRO, TSO) and cuts them on the way into the
    queue.  They are large only where a device takes jumbo frames.
    """
    if plan.jumbo:
        yield f"-p tcp -j NFQUEUE --queue-num {plan.queue + 1}"
    yield f"! -p tcp -m length --length {LARGE + 1}:65535 -j NFQUEUE --queue-num {plan.queue + 1}"
    yield f"-j NFQUEUE --queue-num {plan.queue}"
