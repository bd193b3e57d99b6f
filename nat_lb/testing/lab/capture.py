"""What went over a wire: captures of a host's packets, and a judge of their checksums.

The law: nothing sent between the start and the end of the `with` block is missing from the capture.
"""

from __future__ import annotations

import contextlib
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from nat_lb.testing.lab.errors import LabError
from nat_lb.testing.lab.host import Host
from nat_lb.testing.lab.waiting import wait_until

# Loopback is left out: its packets never get a checksum.
_BAD_CHECKSUM = (
    "(ip.checksum.status == 0 || tcp.checksum.status == 0 || udp.checksum.status == 0"
    " || icmp.checksum.status == 0 || icmpv6.checksum.status == 0) && !(ip.addr == 127.0.0.0/8) && !(ipv6.addr == ::1)"
)
_CHECKED = ("ip", "tcp", "udp")
_COUNTS = re.compile(
    r"(\d+) packets? captured,?\s(\d+) packets? received by filter,?\s(\d+) packets? dropped by kernel"
)


@contextlib.contextmanager
def capture(host: Host, path: Path | None = None, *, device: str = "any", expression: str = "") -> Iterator[Path]:
    """Capture what `host` sends and receives on `device` into a pcap file, whose path is given.

    The file is complete when the block has ended. `expression` is tcpdump's filter. Without `path` the file is in the
    lab's directory and goes with it. Raises `LabError` when tcpdump does not start or the kernel dropped packets.
    """
    target = path or _unused(host.directory / f"{host.name}.pcap")
    log = target.with_suffix(".tcpdump")
    # -s: the ring's frames are of this size, so a larger one would mean few of them, and drops
    # -Z: no change of user, which a user namespace that knows only root does not allow
    options = [
        "-n",
        "-U",
        "--immediate-mode",
        "-s",
        "9216",
        "-B",
        "32768",
        "-Z",
        "root",
        "-i",
        device,
        "-w",
        str(target),
    ]
    with log.open("w") as stderr:
        child = host.spawn(["tcpdump", *options, *expression.split()], stderr=stderr)
    try:
        wait_until(lambda: "listening on" in log.read_text() or child.poll() is not None, 10.0, "tcpdump to start")
        if child.poll() is not None:
            raise LabError(f"{host.name}: tcpdump -i {device} ended: {log.read_text().strip()}")
        yield target
        wait_until(lambda: _has_caught_up(child, log), 5.0, f"{host.name}: tcpdump to catch up")
    finally:
        host.stop(child, signal.SIGINT)
        said = log.read_text()
        log.unlink()
    if (counts := _COUNTS.findall(said)) and counts[-1][2] != "0":
        raise LabError(f"{host.name}: tcpdump lost {counts[-1][2]} packets; capture less or narrow the expression")


def _has_caught_up(child: subprocess.Popen[str], log: Path) -> bool:
    """Ask tcpdump (SIGUSR1) whether everything that passed its filter is in the file."""
    before = len(_COUNTS.findall(log.read_text()))
    child.send_signal(signal.SIGUSR1)
    wait_until(lambda: len(_COUNTS.findall(log.read_text())) > before, 2.0, "tcpdump's counters")
    captured, received, dropped = _COUNTS.findall(log.read_text())[-1]
    return int(captured) + int(dropped) >= int(received)


def check_with_tshark(pcap: Path) -> list[str]:
    """Return one line for every packet whose IP, TCP, UDP or ICMP checksum is wrong; none means all are right.

    Each line has the packet's number, addresses and summary. Raises `LabError` when tshark cannot read the file.
    """
    preferences = [word for name in _CHECKED for word in ("-o", f"{name}.check_checksum:TRUE")]
    columns = ["frame.number", "_ws.col.Source", "_ws.col.Destination", "_ws.col.Protocol", "_ws.col.Info"]
    fields = [word for column in columns for word in ("-e", column)]
    command = ["tshark", "-n", "-r", str(pcap), *preferences, "-Y", _BAD_CHECKSUM, "-T", "fields", *fields]
    done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False, timeout=60)
    if done.returncode:
        raise LabError(f"tshark cannot read {pcap}: {done.stderr.strip()}")
    return [line.replace("\t", " ") for line in done.stdout.splitlines()]


def _unused(path: Path) -> Path:
    candidates = (path.with_stem(f"{path.stem}-{number}") for number in range(1, 10_000))
    return next(candidate for candidate in (path, *candidates) if not candidate.exists())
