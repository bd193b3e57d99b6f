"""What went over a wire: captures of a host's packets, and a judge of their checksums.

The law: nothing sent between the start and the end of the `with` block is missing from the capture.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from nat_lb.testing.lab.errors import LabError
from nat_lb.testing.lab.host import Host

# Loopback (772) is left out: its packets never get a checksum, whatever addresses a host talks to itself by.
# And so is what tshark calls tcp.checksum.ffff, a right checksum written 0xFFFF instead of 0: Linux sends it over IPv6,
# and it is the same number (RFC 1624 §3).
# An ICMP error quotes the beginning of a packet, over which the transport checksum is not right.
_BAD_CHECKSUM = (
    "(ip.checksum.status == 0 || icmp.checksum.status == 0 || icmpv6.checksum.status == 0"
    " || ((tcp.checksum.status == 0 || udp.checksum.status == 0) && !icmp && !icmpv6))"
    " && !(sll.hatype == 772) && !(ip.addr == 127.0.0.0/8) && !(ipv6.addr == ::1)"
    " && !tcp.checksum.ffff"
)
_CHECKED = ("ip", "tcp", "udp")


@contextlib.contextmanager
def capture(host: Host, path: Path | None = None, *, device: str = "any") -> Iterator[Path]:
    """Capture what `host` sends and receives on `device` into a pcap file, whose path is given.

    The file can be read when the block has ended. Without `path` it is in the lab's directory and goes with it. Raises
    `LabError` when capturing does not start or packets were lost or cut.
    """
    target = path or _unused(host.directory / f"{host.name}.pcap")
    command: list[str | Path] = [sys.executable, "-m", "nat_lb.testing.lab.sniffer", device, target]
    sniffer = host.spawn(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        if not sniffer.stdout or sniffer.stdout.readline() != "ready\n":
            raise LabError(f"{host.name}: cannot capture on {device}: {sniffer.communicate()[1].strip()}")
        yield target
    finally:
        sniffer.send_signal(signal.SIGTERM)
        said, errors = sniffer.communicate(timeout=60)
        host.stop(sniffer)
    if said != "dropped 0 cut 0\n":
        raise LabError(f"{host.name}: the capture on {device} is not complete: {said.strip() or errors.strip()}")


def check_with_tshark(pcap: Path) -> list[str]:
    """Return one line for every packet whose IP, TCP, UDP or ICMP checksum is wrong; none means all are right.

    Each line has the packet's number, addresses and summary. Raises `LabError` when tshark cannot read the file.
    """
    preferences = [word for name in _CHECKED for word in ("-o", f"{name}.check_checksum:TRUE")]
    preferences += ["-o", "tcp.desegment_tcp_streams:FALSE"]  # putting files together again takes most of the time
    columns = ["frame.number", "_ws.col.Source", "_ws.col.Destination", "_ws.col.Protocol", "_ws.col.Info"]
    fields = [word for column in columns for word in ("-e", column)]
    command = ["tshark", "-n", "-r", str(pcap), *preferences, "-Y", _BAD_CHECKSUM, "-T", "fields", *fields]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=120)
    if done.returncode:
        raise LabError(f"tshark cannot read {pcap}: {done.stderr.strip()}")
    return [line.replace("\t", " ") for line in done.stdout.splitlines()]


def _unused(path: Path) -> Path:
    candidates = (path.with_stem(f"{path.stem}-{number}") for number in range(1, 10_000))
    return next(candidate for candidate in (path, *candidates) if not candidate.exists())
