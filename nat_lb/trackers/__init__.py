"""The core's own trackers, registered through the same hook as anyone's."""

from __future__ import annotations

from nat_lb.trackers.tcp import Tcp
from nat_lb.trackers.udp import Udp

__all__ = ["Tcp", "Udp"]
