"""One request and its reply on all four legs, each as the wire had it.

The law: a leg is a captured packet; what belongs together is found by TCP sequence number, never computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nat_lb.demo.wire import Endpoint, Segment


@dataclass(frozen=True)
class Leg:
    """One packet between two hosts."""

    title: str
    segment: Segment


@dataclass(frozen=True)
class Journey:
    """The way of a request, before and after the director, and of its reply."""

    request_in: Leg
    request_out: Leg
    reply_in: Leg
    reply_out: Leg


def follow(at_client: Iterable[Segment], at_server: Iterable[Segment], virtual: Endpoint, real: Endpoint) -> Journey:
    """Return the first request that `real` received and its reply, matched with what the client sent and received.

    Raises `LookupError` that says which leg is not in the captures.
    """
    outside, inside = [list(segments) for segments in (at_client, at_server)]
    request_out = _first(inside, f"request to {real}", lambda one: one.target == real)
    client, seq = request_out.source, request_out.seq
    request_in = _first(
        outside,
        f"request {client} -> {virtual}, sequence number {seq}",
        lambda one: (one.source, one.target, one.seq) == (client, virtual, seq),
    )
    reply_in = _first(inside, f"reply {real} -> {client}", lambda one: (one.source, one.target) == (real, client))
    reply_out = _first(
        outside,
        f"reply {virtual} -> {client}, sequence number {reply_in.seq}",
        lambda one: (one.source, one.target, one.seq) == (virtual, client, reply_in.seq),
    )
    return Journey(
        Leg("client -> director", request_in),
        Leg("director -> real server", request_out),
        Leg("real server -> director", reply_in),
        Leg("director -> client", reply_out),
    )


def _first(segments: Iterable[Segment], what: str, wanted: Callable[[Segment], bool]) -> Segment:
    found = next((one for one in segments if one.payload and wanted(one)), None)
    if found is None:
        raise LookupError(f"no capture has the {what}")
    return found
