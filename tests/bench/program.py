"""What the programs cost by themselves, without driver, stack and receiver (BPF_PROG_TEST_RUN).

The law: each is given packets made by the same program before it, of connections picked at random, and that one's own
time, measured in the same turn, is taken off. The yardstick only looks the next hop up and redirects.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from nat_lb_ebpf.libbpf import Program
from tests.bench.bed import TC, XDP, Bed
from tests.bench.cables import LEFT, RIGHT, RIP, inside
from tests.bench.frames import SMALLEST, Order
from tests.bench.sample import Row, Samples, Scale, take

SECTION = "Fast path: the programs alone"
_ROUTE, _NOTHING = "FIB look-up and redirect", "no program"
_FRONTS = {TC: "tc", XDP: "xdp"}
_REDIRECTED = {TC: 7, XDP: 4}
_SKB_IFINDEX = 40  # where it is in struct __sk_buff


class Programs:
    """The programs of both front ends, and the yardstick for each."""

    def __init__(self, bed: Bed) -> None:
        self._bed = bed
        kernel = bed.path.kernel
        self._ours = {TC: kernel.tc, XDP: kernel.xdp}
        with bed.ways[XDP].inside_director():
            for device in (LEFT, RIGHT):
                bed.frames.allow(bed.ways[XDP].index(device))

    def measure(self, scale: Scale, count: int) -> Samples:
        """Return ns a packet: nat-lb's programs for packets either way, the yardstick, and no program at all."""
        candidates: dict[str, Callable[[], float]] = {}
        for name, front in _FRONTS.items():
            program = self._bed.frames.program
            for reply in (False, True):
                ours = Order(count=count, at_random=True, reply=reply)
                candidates[f"{name} {reply}"] = self._cost(name, self._ours[name], ours, scale.runs)
            routed = Order(count=count, at_random=True, to=RIP)
            candidates[f"{name} {_ROUTE}"] = self._cost(name, program(f"route_{front}"), routed, scale.runs)
            nothing = self._cost(name, program(f"nothing_{front}"), routed, scale.runs, redirects=False)
            candidates[f"{name} {_NOTHING}"] = nothing
        return take(candidates, scale.turns)

    def rows(self, samples: Samples) -> list[Row]:
        """Return the comparisons with the yardstick."""
        rows = []
        for name in _FRONTS:
            nothing = f"{name} {_NOTHING}"
            base = samples.difference(f"{name} {_ROUTE}", nothing)
            for reply, whose in ((False, "a client's packet"), (True, "a real server's packet")):
                own = samples.difference(f"{name} {reply}", nothing)
                rows.append(Row(SECTION, f"{name}, {whose}", own, "ns", _ROUTE, base, own / base, "<= 2"))
        return rows

    def _cost(
        self, name: str, program: Program, order: Order, repeat: int, *, redirects: bool = True
    ) -> Callable[[], float]:
        device = RIGHT if order.reply else LEFT
        cables = self._bed.ways[name]
        index = cables.index(device)
        if name == TC:
            context = bytearray(192)
            struct.pack_into("=L", context, _SKB_IFINDEX, index)
        else:
            context = bytearray(struct.pack("=6L", 0, SMALLEST, 0, index, 0, 0))
        data = order.packed()[:54].ljust(SMALLEST, b"\0")  # TC's frame says its kind before any program runs
        giver = self._bed.frames.program(f"give_{_FRONTS[name]}")

        def cost() -> float:
            self._bed.frames.put(program, _FRONTS[name], order)
            with inside(cables.director):
                returned, _, nanoseconds = giver.run(data, context=bytes(context), repeat=repeat)
            if redirects and returned != _REDIRECTED[name]:
                raise RuntimeError(f"bench: {program.name} returned {returned}, expected a redirect")
            return nanoseconds

        return cost
