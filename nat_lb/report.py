"""What a director knows, as plain data for files, terminals and sockets.

The law: asking changes nothing, and what may be long is told in parts, each made in a fraction of a millisecond. What
the fast path carries is told with what the slow path has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from nat_lb.connection import Connection
from nat_lb.lifecycle import Lifecycle
from nat_lb.service import RealServer

PART = 32  # connections that are looked at for one part


def connections(lifecycle: Lifecycle, now: float) -> list[dict[str, Any]]:
    """Return every connection that has not expired by `now`, oldest first; `expires_in` is in seconds."""
    return [_entry(connection, now) for connection in lifecycle.connections if _is_alive(connection, now)]


def connections_in_parts(
    lifecycle: Lifecycle, clock: Callable[[], float], wanted: Callable[[Connection], bool]
) -> Iterator[list[dict[str, Any]]]:
    """Yield the wanted connections in parts that may be empty; packets may be handled in between.

    Those of the slow path come first, oldest first; `path` says whose each is. Each connection that is there from the
    first part to the last is told once, as it is when its part is made; one that closes meanwhile is told or not, one
    that opens meanwhile is not, unless the fast path carries it.
    """
    flows = lifecycle.connections.flows
    keys = iter(list(flows))  # some 20 ms for a million connections
    told: set[bytes] = set()  # what may be handed over before the fast path is asked
    while part := list(islice(keys, 2 * PART)):
        found = ((key, flows.get(key)) for key in part)
        slow = [each for key, each in found if each is not None and each.key == key and wanted(each)]
        if lifecycle.offload is not None:
            told.update(each.key for each in slow)
        yield _part(slow, clock(), "slow")
    carried = iter(lifecycle.offload or ())
    while connections := list(islice(carried, PART)):
        yield _part([each for each in connections if each.key not in told and wanted(each)], clock(), "fast")


def _part(connections: list[Connection], now: float, path: str) -> list[dict[str, Any]]:
    return [_entry(each, now) | {"path": path} for each in connections if _is_alive(each, now)]


def _is_alive(connection: Connection, now: float) -> bool:
    return connection.deadline > now or connection.children > 0


def _entry(connection: Connection, now: float) -> dict[str, Any]:
    entry = {
        "service": connection.service.name,
        "protocol": connection.tracking.tracker.name,
        "client": str(connection.client),
        "virtual": str(connection.virtual),
        "real": str(connection.real),
        "state": connection.state_name,
        "expires_in": round(connection.deadline - now, 3),
    }
    parent = connection.parent
    if parent is not None:
        entry["announced_by"] = {"client": str(parent.client), "virtual": str(parent.virtual)}
    return entry


def services(lifecycle: Lifecycle) -> Iterator[dict[str, Any]]:
    """Yield every service with its scheduler, how often that failed, was late or was left alone, and real servers."""
    for service in list(lifecycle.services):
        if lifecycle.offload is not None:
            lifecycle.offload.refresh(service)
        yield {
            "service": service.name,
            "protocol": service.tracker.name,
            "virtual": str(service.endpoint),
            "scheduler": service.scheduler.name if service.scheduler is not None else None,
            "fallback": service.fallback.scheduler.name if service.fallback.scheduler is not None else None,
            **{kind: service.fallback.counts[kind] for kind in ("failed", "late", "resting")},
            "real_servers": [real_server(server) for server in service.real_servers],
        }


def real_server(server: RealServer) -> dict[str, Any]:
    """Return a real server's load and traffic, as of the last look at the fast path.

    Octets include IP headers, `in` is from clients.
    """
    return {
        "real": str(server.endpoint),
        "weight": server.weight,
        "quiesced": server.weight == 0,
        "overloaded": server.overloaded,
        "active": server.active,
        "inactive": server.inactive,
        "opened": server.opened,
        "packets_in": server.traffic[0].packets,
        "octets_in": server.traffic[0].octets,
        "packets_out": server.traffic[1].packets,
        "octets_out": server.traffic[1].octets,
    }


def helpers(lifecycle: Lifecycle) -> list[dict[str, Any]]:
    """Return what each helper that had something to do has done; `refused` is by kind."""
    return [
        {
            "helper": name,
            "rewritten": counts.rewritten,
            "expected": counts.expected,
            "met": counts.met,
            "refused": dict(counts.refused),
        }
        for name, counts in sorted(lifecycle.expectations.counts.items())
    ]


def tables(lifecycle: Lifecycle) -> dict[str, Any]:
    """Return how many entries the tables have; a connection whose time was over less than a second ago counts.

    `connections` is of the slow path, `carried` of the fast path.
    """
    return {
        "connections": len(lifecycle.connections),
        "carried": len(lifecycle.offload) if lifecycle.offload is not None else 0,
        "max_connections": lifecycle.connections.limit,
        "expectations": len(lifecycle.expectations),
        "persistence_templates": len(lifecycle.persistence),
    }


def datapath(lifecycle: Lifecycle) -> str:
    """Return what takes packets from the network: the fast path's name, or "nfqueue" if there is none."""
    return lifecycle.offload.fastpath.name if lifecycle.offload is not None else "nfqueue"


def fastpath(lifecycle: Lifecycle) -> dict[str, Any] | None:
    """Return what carries packets on each device, why nothing better does, and the fast path's own counters."""
    return dict(lifecycle.offload.fastpath.status()) if lifecycle.offload is not None else None


def faults(lifecycle: Lifecycle) -> list[dict[str, Any]]:
    """Return how often code of which distribution failed where."""
    return [
        {"distribution": distribution, "where": where, "faults": count}
        for (distribution, where), count in lifecycle.faults.counts.most_common()
    ]
