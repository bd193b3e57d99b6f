"""What a director knows, as plain data for files, terminals and sockets."""

from __future__ import annotations

from typing import Any

from nat_lb.lifecycle import Lifecycle


def connections(lifecycle: Lifecycle, now: float) -> list[dict[str, Any]]:
    """Return every connection that has not expired by `now`, oldest first; `expires_in` is in seconds."""
    return [
        {
            "service": connection.service.name,
            "protocol": connection.service.tracker.name,
            "client": str(connection.client),
            "virtual": str(connection.virtual),
            "real": str(connection.real),
            "state": connection.state_name,
            "expires_in": round(connection.deadline - now, 3),
        }
        for connection in lifecycle.connections
        if connection.deadline > now or connection.children
    ]


def real_servers(lifecycle: Lifecycle) -> list[dict[str, Any]]:
    """Return every real server of every service with its load and traffic; octets include IP headers."""
    return [
        {
            "service": service.name,
            "real": str(server.endpoint),
            "weight": server.weight,
            "opened": server.opened,
            "active": server.active,
            "inactive": server.inactive,
            "packets_in": server.traffic[0].packets,
            "octets_in": server.traffic[0].octets,
            "packets_out": server.traffic[1].packets,
            "octets_out": server.traffic[1].octets,
        }
        for service in lifecycle.services
        for server in service.real_servers
    ]


def schedulers(lifecycle: Lifecycle) -> list[dict[str, Any]]:
    """Return every service's scheduler and fallback, with how often it failed, was late, or was left alone."""
    return [
        {
            "service": service.name,
            "scheduler": service.scheduler.name if service.scheduler is not None else None,
            "fallback": service.fallback.scheduler.name if service.fallback.scheduler is not None else None,
            **{kind: service.fallback.counts[kind] for kind in ("failed", "late", "resting")},
        }
        for service in lifecycle.services
    ]
