"""Telling the service manager how the director is (the sd_notify protocol).

The law: without a service manager nothing happens, and a service manager that is gone never stops the director.
"""

from __future__ import annotations

import os
import socket


def notify(*states: str) -> bool:
    """Send states such as "READY=1" or "STATUS=…" to the service manager; return whether one took them.

    The manager is the one that the environment variable NOTIFY_SOCKET names, a path or, starting with "@", an abstract
    address.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return False
    if address[0] == "@":
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        try:
            sender.sendto("\n".join(states).encode(), socket.MSG_DONTWAIT, address)
        except OSError:
            return False
    return True
