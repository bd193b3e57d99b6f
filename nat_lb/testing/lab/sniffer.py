"""The program behind `capture`: reads packets from a ring shared with the kernel and writes them to a pcap file.

The law: told to end (SIGTERM), it first writes everything that the kernel had put into the ring until then.

It exists because tcpdump cannot run as root of a user namespace: it insists on changing its groups, which is forbidden
there. The file's link type is Linux cooked v2, as of `tcpdump -i any`: the device and direction of a packet are kept.

Structures are those of linux/if_packet.h: TPACKET_V2 frames, each with a `tpacket2_hdr` and a `sockaddr_ll`.
"""

from __future__ import annotations

import mmap
import select
import signal
import socket
import struct
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

SOL_PACKET, PACKET_RX_RING, PACKET_STATISTICS, PACKET_VERSION, TPACKET_V2 = 263, 5, 6, 10, 1
ETH_P_ALL = 3
FOR_THE_KERNEL = 0

FRAME_SIZE = 2048  # longer packets are cut, and counted: the lab's devices have an MTU of 1500
FRAMES = 32768
BLOCK_SIZE = 1 << 16

HEADER = struct.Struct("@IIIHHII")  # status, length, captured, mac, net, seconds, nanoseconds
ADDRESS_AT = 32
ADDRESS = struct.Struct("@HHIHBB8s")  # family, protocol, device, hardware type, packet type, address length, address
OUTGOING, LOOPBACK_HARDWARE = 4, 772

PCAP_MAGIC_NANOSECONDS, LINUX_SLL2 = 0xA1B23C4D, 276
FILE_HEADER = struct.pack("@IHHiIII", PCAP_MAGIC_NANOSECONDS, 2, 4, 0, 0, FRAME_SIZE, LINUX_SLL2)
RECORD = struct.Struct("@IIII")
COOKED = struct.Struct("!HHIHBB8s")


class Ring:
    """A packet socket and its ring; iteration yields the records that are there, and ends when there are none."""

    def __init__(self, device: str) -> None:
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_ALL))
        if device != "any":
            self.socket.bind((device, ETH_P_ALL))
        self.socket.setsockopt(SOL_PACKET, PACKET_VERSION, TPACKET_V2)
        size = FRAME_SIZE * FRAMES
        self.socket.setsockopt(
            SOL_PACKET, PACKET_RX_RING, struct.pack("@IIII", BLOCK_SIZE, size // BLOCK_SIZE, FRAME_SIZE, FRAMES)
        )
        self._memory = mmap.mmap(self.socket.fileno(), size)
        self._next = 0
        self.cut = 0

    def __iter__(self) -> Iterator[bytes]:
        while True:
            at = self._next * FRAME_SIZE
            header = HEADER.unpack_from(self._memory, at)
            if header[0] == FOR_THE_KERNEL:
                return
            record = self._record(at, *header[1:])
            struct.pack_into("@I", self._memory, at, FOR_THE_KERNEL)
            self._next = (self._next + 1) % FRAMES
            if record:
                yield record

    def _record(
        self, at: int, length: int, captured: int, _mac: int, net: int, seconds: int, nanoseconds: int
    ) -> bytes:
        _, protocol, device, hardware, kind, address_length, address = ADDRESS.unpack_from(
            self._memory, at + ADDRESS_AT
        )
        if hardware == LOOPBACK_HARDWARE and kind == OUTGOING:
            return b""  # it comes in again
        self.cut += captured < length and hardware != LOOPBACK_HARDWARE
        cooked = COOKED.pack(socket.ntohs(protocol), 0, device, hardware, kind, address_length, address)
        sizes = captured + COOKED.size, length + COOKED.size
        return RECORD.pack(seconds, nanoseconds, *sizes) + cooked + self._memory[at + net : at + net + captured]

    def dropped(self) -> int:
        """Return how many packets found the ring full."""
        _received, dropped = struct.unpack("@II", self.socket.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
        return int(dropped)


def main(device: str, path: Path) -> None:
    """Capture on `device` ("any": all) until SIGTERM; prints `ready` and in the end `dropped N cut M`."""
    awake, waker = socket.socketpair()
    ending: list[int] = []

    def end(number: int, _frame: FrameType | None) -> None:
        ending.append(number)
        waker.send(b"\0")

    signal.signal(signal.SIGTERM, end)
    ring = Ring(device)
    with path.open("wb", buffering=1 << 16) as file:
        file.write(FILE_HEADER)
        say("ready")
        while not ending:
            select.select([ring.socket, awake], [], [])
            file.writelines(ring)
        file.writelines(ring)
    say(f"dropped {ring.dropped()} cut {ring.cut}")


def say(line: str) -> None:
    """Tell the process that started this one."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
