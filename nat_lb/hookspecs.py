"""The hooks: every way in which a plugin can take part.

A hook chooses or announces; the object that it returned sees the packets.  Hooks are called once at start, once a
service or once a connection, never once a packet. Write an implementation with `nat_lb.api.hookimpl`; take only the
arguments you need.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from nat_lb.config import Config
    from nat_lb.connection import Connection
    from nat_lb.fastpath import FastPath
    from nat_lb.flow import FlowKey
    from nat_lb.helper import Helper
    from nat_lb.scheduler import Scheduler
    from nat_lb.service import RealServer, VirtualService
    from nat_lb.tracker import Tracker

hookspec = pluggy.HookspecMarker("nat_lb")
hookimpl = pluggy.HookimplMarker("nat_lb")


@hookspec
def nat_lb_register_schedulers() -> Iterable[type[Scheduler]]:  # type: ignore[empty-body]
    """Return scheduler classes.

    Called once, at start.  All answers count; a name that two plugins register is an error that names both.
    """


@hookspec
def nat_lb_register_trackers() -> Iterable[type[Tracker]]:  # type: ignore[empty-body]
    """Return tracker classes, one a transport protocol.

    Called once, at start.  All answers count; a name that two plugins register is an error that names both.
    """


@hookspec
def nat_lb_register_helpers() -> Iterable[type[Helper]]:  # type: ignore[empty-body]
    """Return helper classes.

    Called once, at start.  All answers count; a name that two plugins register is an error that names both.
    """


@hookspec(firstresult=True)
def nat_lb_make_fastpath(config: Config) -> FastPath | None:
    """Return a fast path for this machine, not started yet, or None.

    Called when a director begins to run, and to have what an earlier one left taken away, by `remove()` and nothing
    else: by `nat-lb cleanup`, `nat-lb run --flush` and a director with `datapath = "nfqueue"`. The first answer that is
    not None is used. Raise SystemFault, saying why and what would help, if there could be one but for this machine:
    with `datapath = "auto"` the director says so and runs on its slow path, with "ebpf" it does not run.
    """


@hookspec
def nat_lb_check_config(config: Config) -> Iterable[str]:  # type: ignore[empty-body]
    """Return objections to a configuration that is valid in form, one sentence each; an empty answer means none.

    Called by `nat-lb check`, at start and before a reload, with the whole configuration. All plugins' objections are
    reported together, and any of them keeps the configuration from being used.
    """


@hookspec(firstresult=True)
def nat_lb_schedule(service: VirtualService, flow: FlowKey) -> RealServer | None:
    """Choose the real server of a new connection.

    Called once a connection, before it is in the table. The first answer that is not None decides; the core answers
    last, by asking the service's scheduler. A real server that is not one of the service's is a fault of the plugin:
    the service's fallback scheduler decides, or with none the packet is dropped.
    """


@hookspec(firstresult=True)
def nat_lb_bind_helper(connection: Connection) -> Helper | None:
    """Choose the helper of a new connection.

    Called once a connection of a service that enables helpers, and of expected connections for which a helper was
    named. The first answer that is not None decides; the core answers last, with the helper that the configuration
    enables.
    """


@hookspec
def nat_lb_connection_opened(connection: Connection) -> None:
    """Take note that a connection was opened; called after it entered the table, before its first packet leaves."""


@hookspec
def nat_lb_connection_state_changed(connection: Connection, old_state: str, new_state: str) -> None:
    """Take note that a packet moved a connection from one tracker state to another."""


@hookspec
def nat_lb_connection_closed(connection: Connection, reason: str) -> None:
    """Take note that a connection left the table.

    `reason` is "expired", "reused" (by a new connection of the same client's port), "removed" (by a reload),
    "forgotten" (by the helper that announced it), "parent" (with the connection it was bound to) or "evicted" (by the
    fast path, to make room).
    """


@hookspec
def nat_lb_service_changed(service: VirtualService, change: str) -> None:
    """Take note that a service was "added", "changed" or "removed": at start and by a reload."""


@hookspec
def nat_lb_real_server_changed(service: VirtualService, real_server: RealServer, reason: str) -> None:
    """Take note that a real server was "added", "removed" or "reweighted" by a reload.

    Also called when an operator drains it (weight 0): "drained", and "reweighted" when its weight is restored.
    """
