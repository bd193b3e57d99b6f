"""Packets of the director's own: refusals, and payload that was cut again.

The law: an injected packet leaves exactly as it was built and is never queued again (it carries `MARK`), and a packet
that cannot be sent is counted, not raised: its receiver sees a loss, as from any network.
"""

from __future__ import annotations

import errno
import socket
from collections import Counter

from nat_lb.errors import SystemFault

MARK = 0x2000_0000
"""The bit of a packet's firewall mark that says: the director has dealt with this packet already."""


class Injector:
    """Sends whole IPv4 and IPv6 packets, from whatever source address they name.

    Raises `SystemFault` from the constructor when the process may not open raw sockets.  `sent` counts packets,
    `failed` those the kernel refused, by the name of its error (EMSGSIZE, ENETUNREACH, …) or "malformed".
    """

    def __init__(self, mark: int = MARK) -> None:
        self.sent = 0
        self.failed: Counter[str] = Counter()
        self._v4 = _raw_socket(socket.AF_INET, mark)
        self._v6 = _raw_socket(socket.AF_INET6, mark)

    def send(self, packet: bytes) -> None:
        """Send one whole IP packet; never raises and never blocks.

        The kernel fills in what IPv4 lets a raw socket leave zero: the identification, and always the header checksum.
        """
        try:
            if packet[0] >> 4 == 4:
                self._send(self._v4, packet, (socket.inet_ntop(socket.AF_INET, packet[16:20]), 0))
            else:
                self._send(self._v6, packet, (socket.inet_ntop(socket.AF_INET6, packet[24:40]), 0))
        except (ValueError, IndexError):
            self.failed["malformed"] += 1
        except OSError as error:
            self.failed[errno.errorcode.get(error.errno or 0, "unknown")] += 1

    def _send(self, sender: socket.socket | None, packet: bytes, destination: tuple[str, int]) -> None:
        if sender is None:
            raise OSError(errno.EAFNOSUPPORT, "no such family")
        sender.sendto(packet, socket.MSG_DONTWAIT, destination)
        self.sent += 1

    def close(self) -> None:
        """Close both sockets; what is sent afterwards is counted as failed."""
        for sender in (self._v4, self._v6):
            if sender is not None:
                sender.close()


def _raw_socket(family: int, mark: int) -> socket.socket | None:
    """Return a socket whose sender writes the IP header (IPPROTO_RAW implies it), None if there is no such family."""
    try:
        sender = socket.socket(family, socket.SOCK_RAW, socket.IPPROTO_RAW)
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, mark)
    except PermissionError as error:
        raise SystemFault(
            f"injector: cannot open a raw socket: {error.strerror}. "
            "Run nat-lb as root, or with the capabilities CAP_NET_RAW and CAP_NET_ADMIN."
        ) from error
    except OSError as error:
        if error.errno == errno.EAFNOSUPPORT and family == socket.AF_INET6:
            return None
        raise SystemFault(f"injector: cannot open a raw socket: {error.strerror}.") from error
    return sender
