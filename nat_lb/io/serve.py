"""A running director: queue, netfilter rules, control socket, signals and timers around the tables.

The law: packets flow only while somebody is there to judge them. The queue is bound before rules lead to it, and the
rules are gone before it is closed; a reload that fails leaves everything as it was.
"""

from __future__ import annotations

import gc
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

from nat_lb.config import Config
from nat_lb.director import Director
from nat_lb.errors import ConfigError, SystemFault
from nat_lb.io import system
from nat_lb.io.answers import Answers
from nat_lb.io.control import ControlServer, control_socket
from nat_lb.io.inject import Injector
from nat_lb.io.nfqueue import QueueReader
from nat_lb.io.notify import notify
from nat_lb.io.steering import Steering

log = logging.getLogger("nat_lb")

COLLECTOR = (10_000, 2, 1_000_000)
"""The garbage collector's thresholds: it looks at young objects only, few at a time, so that no packet waits long."""


def serve(director: Director, reread: Callable[[], Config]) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP puts `reread()` in place.

    Raises SystemFault if the machine does not allow it.
    """
    system.require_root()
    _prepare(director)
    settings = director.config.director
    steering = _steering(director)
    steering.remove_leftovers()
    answers = Answers(director)
    with control_socket(Path(settings.control), answers.commands) as control:
        tick = _tick(director, control)
        with QueueReader(settings.queue, director.pipeline.process, tick, Injector().send) as reader:
            answers.statistics = reader.statistics
            if control is not None:
                reader.add_fd(control.fileno(), control.serve)
            reader.on_signal(signal.SIGHUP, lambda: _reload(director, steering, reread))
            for ending in (signal.SIGTERM, signal.SIGINT):
                reader.on_signal(ending, reader.stop)
            _run(reader, steering)
            log.info("stopped: %s", reader.statistics())
    for reason, number in director.pipeline.refused.most_common():
        log.info("not forwarded: %d %s", number, reason.value)


def _prepare(director: Director) -> None:
    # Closed connections are freed by reference counts; a full collection over a million of them would stall the queue.
    gc.set_threshold(*COLLECTOR)
    director.lifecycle.clock = time.monotonic
    for warning in system.check_forwarding(director.lifecycle.services.virtual_addresses):
        log.warning("%s", warning)


def _steering(director: Director) -> Steering:
    services = director.lifecycle.services
    protocols = [str(tracker.protocol) for tracker in director.registry.trackers.values()]
    queue = director.config.director.queue
    return Steering(services.virtual_addresses, services.real_addresses, queue, protocols=protocols)


def _tick(director: Director, control: ControlServer | None) -> Callable[[float], None]:
    def tick(now: float) -> None:
        if control is not None:
            control.tick(now)
        director.tick(now)

    return tick


def _run(reader: QueueReader, steering: Steering) -> None:
    """Let packets flow until the reader is stopped."""
    try:
        steering.install()
        notify("READY=1")
        log.info("ready")
        reader.run()
    finally:
        notify("STOPPING=1")
        steering.remove()
    reader.drain()


def _reload(director: Director, steering: Steering, reread: Callable[[], Config]) -> None:
    try:
        config = reread()
        director.reload(config, time.monotonic())
        services = director.lifecycle.services
        steering.update(services.virtual_addresses, services.real_addresses)
    except ConfigError as error:
        log.error("reload failed, nothing was changed: %s", error)
    except SystemFault as error:
        log.error("reloaded, but packets of addresses that are new are not steered here: %s", error)
    else:
        log.info("reloaded")
