"""A running director: queue, netfilter rules, signals and timers around the tables.

The law: packets flow only while somebody is there to judge them. The queue is bound before rules lead to it, and the
rules are gone before it is closed; a reload that fails leaves everything as it was.
"""

from __future__ import annotations

import gc
import logging
import signal
import time
from collections.abc import Callable

from nat_lb.config import Config
from nat_lb.director import Director
from nat_lb.errors import ConfigError, SystemFault
from nat_lb.io import system
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
    # Closed connections are freed by reference counts; a full collection over a million of them would stall the queue.
    gc.set_threshold(*COLLECTOR)
    director.lifecycle.clock = time.monotonic
    services = director.lifecycle.services
    for warning in system.check_forwarding(services.virtual_addresses):
        log.warning("%s", warning)
    settings = director.config.director
    protocols = [str(tracker.protocol) for tracker in director.registry.trackers.values()]
    steering = Steering(services.virtual_addresses, services.real_addresses, settings.queue, protocols=protocols)
    steering.remove_leftovers()
    with QueueReader(settings.queue, director.pipeline.process, director.tick, Injector().send) as reader:
        reader.on_signal(signal.SIGHUP, lambda: _reload(director, steering, reread))
        for ending in (signal.SIGTERM, signal.SIGINT):
            reader.on_signal(ending, reader.stop)
        try:
            steering.install()
            notify("READY=1")
            log.info("ready")
            reader.run()
        finally:
            notify("STOPPING=1")
            steering.remove()
        reader.drain()
        log.info("stopped: %s", reader.statistics())
        for reason, number in director.pipeline.refused.most_common():
            log.info("not forwarded: %d %s", number, reason.value)


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
