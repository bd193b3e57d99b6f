"""What the machine must allow, and how it must be set, for a director to work.

The law: what makes the director impossible is a `SystemFault`, what only makes it useless is a warning; both name the
remedy, and nothing here changes a setting.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from nat_lb.errors import SystemFault

_PROC = Path("/proc")
_CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_NET_RAW": 13}
_FORWARDING = {4: ("IPv4", "net.ipv4.ip_forward"), 6: ("IPv6", "net.ipv6.conf.all.forwarding")}
_REFLECT = {4: "net.ipv4.fwmark_reflect", 6: "net.ipv6.fwmark_reflect"}


def require_root(proc: Path = _PROC) -> None:
    """Raise `SystemFault` unless this process may queue, steer and inject packets.

    Called before anything is opened.  Root may, and so may a process that was given the two capabilities.
    """
    effective = 0
    for line in (proc / "self" / "status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    missing = [name for name, bit in _CAPABILITIES.items() if not effective >> bit & 1]
    if missing:
        raise SystemFault(
            f"this process lacks {' and '.join(missing)}. Run it as root, or give it the capabilities "
            "CAP_NET_ADMIN and CAP_NET_RAW. `nat-lb check` and `nat-lb replay` need neither."
        )


def check_forwarding(addresses: Iterable[str], proc: Path = _PROC) -> list[str]:
    """Return one warning, with its remedy, for each setting that keeps translated packets from their receivers.

    Called at start with the addresses of the virtual services.
    """
    return [
        warning
        for family in sorted({6 if ":" in address else 4 for address in addresses})
        for warning in _warnings(family, proc / "sys")
    ]


def _warnings(family: int, settings: Path) -> Iterator[str]:
    label, forwarding = _FORWARDING[family]
    if _read(settings, forwarding) in ("0", None):
        yield (
            f"{forwarding} is 0: the kernel does not forward {label}, so no packet reaches a real server. "
            f"Remedy: sysctl -w {forwarding}=1"
        )
    reflect = _REFLECT[family]
    if _read(settings, reflect) == "1":
        yield (
            f"{reflect} is 1: the kernel's own ICMP errors would pass untranslated and show real servers' addresses. "
            f"Remedy: sysctl -w {reflect}=0"
        )


def _read(settings: Path, name: str) -> str | None:
    try:
        return settings.joinpath(*name.split(".")).read_text().strip()
    except OSError:
        return None
