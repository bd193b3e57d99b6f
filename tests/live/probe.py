"""Sends the IP packets on standard input (hexadecimal, one a line) and prints those that come in.

Usage: probe.py DEVICE COUNT SECONDS LONGEST < PACKETS   ends when COUNT packets have come in, or after SECONDS.

The law: what comes in has to do with what was sent. Segments and datagrams that have an ephemeral port belong to other
programs, whose last packets may still be under way (a FIN when curl has ended); packets sent have none.
"""

from __future__ import annotations

import itertools
import select
import socket
import struct
import sys
import time
from collections.abc import Iterator

from nat_lb.io.inject import Injector

IPV4, IPV6, ALL = 0x0800, 0x86DD, 3
PACKET_OUTGOING = 4
ICMPV6, NEIGHBOURS = 58, range(130, 144)
TCP, UDP, EPHEMERAL = 6, 17, 32768  # the first port of ip_local_port_range


def is_neighbour_discovery(packet: bytes) -> bool:
    return packet[0] >> 4 == 6 and (packet[6] == 0 or (packet[6] == ICMPV6 and packet[40] in NEIGHBOURS))


def is_of_another_program(packet: bytes) -> bool:
    if packet[0] >> 4 == 6:
        protocol, start = packet[6], 40
    elif struct.unpack_from("!H", packet, 6)[0] & 0x1FFF:
        return False  # a later fragment: its ports were in the first
    else:
        protocol, start = packet[9], (packet[0] & 15) * 4
    if protocol not in (TCP, UDP) or len(packet) < start + 4:
        return False
    return bool(max(struct.unpack_from("!HH", packet, start)) >= EPHEMERAL)


def incoming(listener: socket.socket, seconds: float) -> Iterator[bytes]:
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([listener], [], [], left)[0]:
            packet, (_, protocol, kind, *_) = listener.recvfrom(65535)
            if kind == PACKET_OUTGOING or protocol not in (IPV4, IPV6) or is_neighbour_discovery(packet):
                continue
            if not is_of_another_program(packet):
                yield packet


def main(device: str, count: int, seconds: float, longest: int) -> None:
    with socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ALL)) as listener:
        listener.bind((device, ALL))
        sender = Injector(mark=0)
        for line in sys.stdin:
            sender.send(bytes.fromhex(line))
        assert not sender.failed, sender.failed
        fitting = (packet for packet in incoming(listener, seconds) if len(packet) <= longest)
        for packet in itertools.islice(fitting, count):
            print(packet.hex(), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4]))
