"""Packets made, sent and counted in the kernel, so that neither the sender nor the receiver is the limit.

The law: one thread makes them, on one processor; what they cause there (the director's work, the count at the end) is
done before more are made, so the thread's processor time is that of the whole way.

The programs are in bpf/frames.bpf.c.
"""

from __future__ import annotations

import ctypes as c
import shutil
import struct
import subprocess
import sysconfig
import tempfile
import time
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from nat_lb.segment import ACK, SYN
from nat_lb.testing import packets
from nat_lb.testing.lab import LabError
from nat_lb_ebpf.libbpf import Object, Program, library
from tests.bench.cables import FIRST_CLIENT, IN, LEFT, LINK, OUT, RIGHT, RIP, VIP, Cables, inside

SOURCE = Path(__file__).with_name("bpf") / "frames.bpf.c"
_LIVE_FRAMES = 2  # BPF_F_TEST_XDP_LIVE_FRAMES
_BATCH = 64
SMALLEST = 60  # octets of an Ethernet frame
_DRIVER = c.c_uint32(4)  # XDP_FLAGS_DRV_MODE
_ORDER = struct.Struct("=56s10L")
_WANTED = struct.Struct("=4s4s2s2sLQ")
_HTTP = (80).to_bytes(2, "big")


class _TestRun(c.Structure):
    """struct bpf_test_run_opts."""

    _fields_ = (
        ("sz", c.c_size_t), ("data_in", c.c_void_p), ("data_out", c.c_void_p), ("data_size_in", c.c_uint32),
        ("data_size_out", c.c_uint32), ("ctx_in", c.c_void_p), ("ctx_out", c.c_void_p), ("ctx_size_in", c.c_uint32),
        ("ctx_size_out", c.c_uint32), ("retval", c.c_uint32), ("repeat", c.c_int), ("duration", c.c_uint32),
        ("flags", c.c_uint32), ("cpu", c.c_uint32), ("batch_size", c.c_uint32),
    )  # fmt: skip


@dataclass(frozen=True)
class Order:
    """Which packets to make: of `count` connections from number `first` on, in turn or picked at random."""

    flags: int = ACK
    first: int = 0
    count: int = 1000
    reply: bool = False
    at_random: bool = False
    burst: int = 1  # so many packets of one, side by side
    to: str = VIP

    def packed(self) -> bytes:
        """Return what the programs read."""
        client = f"{ip_address(FIRST_CLIENT)}:1024"
        ends = (f"{RIP}:80", client) if self.reply else (client, f"{self.to}:80")
        opens = bool(self.flags & SYN)
        seq, ack = int(not opens), int(self.reply or not opens)
        packet = bytearray(packets.tcp(*ends, self.flags, seq=seq, ack=ack))
        for at, size in ((10, 2), (36, 2), (16 if self.reply else 12, 4), (22 if self.reply else 20, 2)):
            packet[at : at + size] = bytes(size)  # checksums, and what is different in each packet
        pseudo = packet[12:20] + b"\0\6" + (len(packet) - 20).to_bytes(2, "big")
        links = (RIGHT, IN) if self.reply else (LEFT, OUT)
        addresses = b"".join(bytes.fromhex(LINK[device].replace(":", "")) for device in links)
        return _ORDER.pack(
            addresses + b"\x08\0" + packet, _sum(packet[:20]), _sum(pseudo + packet[20:]), FIRST_CLIENT, self.reply,
            self.first, self.count, self.at_random, self.burst, 2**32 - 1, 0,
        )  # fmt: skip


def _sum(octets: bytes | bytearray) -> int:
    return sum(struct.unpack(f"={len(octets) // 2}H", octets))


@dataclass(frozen=True)
class Sent:
    """What came of some packets: those that arrived as they should, and the processor time of their way, seconds."""

    arrived: int
    processor: float


class Frames:
    """The loaded programs."""

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as directory:
            self._object = Object(_compiled(Path(directory)))
            self._object.load()
        self._orders, self._counted = self._object.map("orders"), self._object.map("counted")
        self._send, self._count = self.program("send"), self.program("count")

    def program(self, name: str) -> Program:
        """Return one of the programs."""
        return self._object.program(name)

    def put(self, program: Program, front: str, order: Order) -> None:
        """Let `give_xdp` or `give_tc` make packets for a program from now on."""
        self._object.map(f"measured_{front}").put(bytes(4), program.fd.to_bytes(4, "little"))
        self._orders.put(bytes(4), order.packed())

    def allow(self, index: int) -> None:
        """Let `route_xdp` send by a device."""
        word = index.to_bytes(4, "little")
        self._object.map("ways_out").put(word, word)

    def count_at(self, cables: Cables, *devices: str) -> None:
        """Count packets, and end their way, at these devices."""
        for device in devices:
            with inside(cables.ends[device]):
                index = cables.index(device)
                if error := library().bpf_xdp_attach(index, self._count.fd, _DRIVER, None):
                    raise LabError(f"{device}: cannot run a program of XDP: {error}")

    def send(self, cables: Cables, order: Order, how_many: int, *, untouched: bool = False) -> Sent:
        """Send packets from the client, or replies from the real server, and count them at the other end.

        Those count that show the real server's address to the real server, and the VIP to the client; with `untouched`,
        those that are as they were made.
        """
        self._orders.put(bytes(4), order.packed())
        self._want(order, untouched=untouched)
        device = IN if order.reply else OUT
        context = struct.pack("=6L", 0, SMALLEST, 0, cables.index(device), 0, 0)
        data = bytes(SMALLEST)
        run = _TestRun(sz=c.sizeof(_TestRun), data_size_in=SMALLEST, repeat=how_many, flags=_LIVE_FRAMES)
        run.data_in, run.batch_size = c.cast(c.c_char_p(data), c.c_void_p), _BATCH
        run.ctx_in, run.ctx_size_in = c.cast(c.c_char_p(context), c.c_void_p), len(context)
        with inside(cables.ends[device]):
            start = time.thread_time()
            error = library().bpf_prog_test_run_opts(self._send.fd, c.byref(run))
            processor = time.thread_time() - start
        if error:
            raise LabError(f"bench: frames cannot be sent: {error}. Remedy: run a kernel of 5.18 or newer.")
        return Sent(self.arrived(), processor)

    def arrived(self) -> int:
        """Return how many packets were counted since the last `send` began."""
        value = self._counted.get(bytes(4))
        return int(_WANTED.unpack(value)[-1]) if value else 0

    def _want(self, order: Order, *, untouched: bool) -> None:
        at = ip_address(order.to if untouched else RIP).packed
        if order.reply:
            at = ip_address(RIP if untouched else VIP).packed
            wanted = (at, bytes(4), _HTTP, bytes(2))
        else:
            wanted = (bytes(4), at, bytes(2), _HTTP)
        self._counted.put(bytes(4), _WANTED.pack(*wanted, 0, 0))

    def close(self) -> None:
        """Give the programs back; where they run they run on."""
        self._object.close()


def _compiled(directory: Path) -> Path:
    target = directory / "frames.bpf.o"
    include = Path("/usr/include", sysconfig.get_config_var("MULTIARCH") or "")
    flags = ["-O2", "-g", "-mcpu=v3", "-target", "bpf", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror"]
    command = [shutil.which("clang") or "clang", *flags, f"-I{include}", "-c", str(SOURCE), "-o", str(target)]
    subprocess.run(command, check=True)
    return target
