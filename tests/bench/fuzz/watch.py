"""What is watched while a conversation goes through the pipeline.

The law: packets go where they should with right checksums; what is kept is bounded; and whoever is expected is this
connection's client or its real server. `Broken` says what was not so.
"""

from __future__ import annotations

import gc
import resource
from pathlib import Path
from typing import TypeAlias

from nat_lb.checksum import ones_sum
from nat_lb.config import parse
from nat_lb.connection import Connection
from nat_lb.director import Director
from nat_lb.flow import Endpoint
from nat_lb.lifecycle import Lifecycle
from nat_lb.payload import TcpRewriter
from nat_lb.testing.dialogue import Dialogue
from nat_lb.testing.helper_play import Faults, deep_size, registry_with
from nat_lb.testing.installed import toml_table
from tests.bench.fuzz.seeds import Seeds

MOST_MEMORY = 65536  # octets that one helper's object may take
MOST_GROWTH = 32 << 20  # octets that a process may grow by once it is warm
_BEYOND = 1 << 16  # octets that a window may hold besides an incomplete message
_TOML = """
[[service]]
name = "fuzz"
protocol = "{helper.protocol}"
address = "{dialogue.virtual.address}"
port = {dialogue.virtual.port}
scheduler = "conformance"
helpers = ["{helper.name}"]
real_server = [{{ address = "{dialogue.real.address}", port = {dialogue.real.port} }}]
[service.helper_options.{helper.name}]
{options}
"""
Way: TypeAlias = tuple[bytes, bytes, bytes]  # source, destination, both ports


class Broken(AssertionError):
    """The law of this module does not hold."""


def way(source: Endpoint, destination: Endpoint) -> Way:
    """Return what the packets from one endpoint to another begin with."""
    (one, port), (other, to) = source.packed, destination.packed
    return one, other, port + to


class Growth:
    """What the process grows by, once it is warm."""

    def __init__(self) -> None:
        self._before: int | None = None

    def begin(self) -> None:
        """Take the present size as that of a warm process."""
        self._before = _resident()

    def check(self, run: str) -> int:
        """Return by how many octets it grew, 0 before it is warm; raises Broken that names the run if too many."""
        grown = _resident() - self._before if self._before is not None else 0
        if grown > MOST_GROWTH:
            raise Broken(f"{run}: the process grew by {grown >> 20} MB")
        return grown


def _resident() -> int:
    """Return the process's resident memory in octets, garbage collected."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


class Place:
    """A director with one service and real server, those of a dialogue, and what its plugins raised."""

    def __init__(self, seeds: Seeds, dialogue: Dialogue) -> None:
        self.helper = seeds.helper
        toml = _TOML.format(helper=self.helper, dialogue=dialogue, options=toml_table(seeds.options))
        registry = registry_with(helpers={self.helper.name: self.helper})
        self.director = Director(parse(toml, "fuzz.toml"), "fuzz.toml", registry)
        self.faults = self.director.lifecycle.faults = Faults(self.director.lifecycle.faults)


def way_of(packet: bytes) -> Way:
    """Return from where to where a plain packet goes."""
    if packet[0] >> 4 == 4:
        return packet[12:16], packet[16:20], packet[20:24]
    return packet[8:24], packet[24:40], packet[40:44]


def check_way(packet: bytes, wanted: Way, protocol: int) -> None:
    """Check where a packet goes, and its transport checksum."""
    found = source, destination, _ = way_of(packet)
    if found != wanted:
        raise Broken(f"a packet went {[part.hex() for part in found]}, expected {[part.hex() for part in wanted]}")
    at = 20 if len(source) == 4 else 40
    if (ones_sum(source + destination) + protocol + len(packet) - at + ones_sum(packet[at:])) % 0xFFFF:
        raise Broken("a packet has a wrong checksum")


def check_kept(place: Place, connection: Connection) -> None:
    """Check who is expected, and what is kept of incomplete messages."""
    helper, expected = place.helper, place.director.lifecycle.expectations.of(connection)
    if len(expected) > helper.most_expectations:
        raise Broken(f"{len(expected)} expectations, {helper.most_expectations} are allowed")
    allowed = [end.address for end in (connection.real, connection.client, connection.virtual)]
    for one in expected:
        named = [end and end.address for end in (one.real, one.client, one.public)]
        if any(found not in (None, right) for found, right in zip(named, allowed, strict=True)):
            raise Broken(f"expected: {named} of {allowed}")
    for stream in connection.rewriter._streams if isinstance(connection.rewriter, TcpRewriter) else ():
        held = len(stream.tail), len(stream.vouched[1]) if stream.vouched else 0
        if max(held) > helper.longest_message + _BEYOND:
            raise Broken(f"{held} octets of incomplete messages are kept")


def check_memory(connection: Connection | None) -> None:
    """Check the size of the helper's object, which takes its time."""
    helper = getattr(connection.rewriter, "_helper", None) if connection is not None else None
    size = deep_size(helper) if helper is not None else 0
    if size > MOST_MEMORY:
        raise Broken(f"the helper's object takes {size} octets")


def check_nothing_left(lifecycle: Lifecycle) -> None:
    """Check that all tables are empty."""
    expected = lifecycle.expectations
    left = len(lifecycle.connections.flows), len(expected), len(expected.public._standing)
    if any(left):
        raise Broken(f"connections, expectations and public endpoints left: {left}")
