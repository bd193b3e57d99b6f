"""A running director: queue, netfilter rules, fast path, control socket, signals and timers around the tables.

The law: packets flow only while somebody is there to judge them. The queue is bound before rules lead to it, and they
do before a fast path starts, which leaves packets to the stack; the rules are gone before the queue is closed. What the
fast path carries at the end it carries on; a reload that fails leaves everything as it was.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import signal
import time
from collections.abc import Callable
from pathlib import Path

from nat_lb.config import Config, DirectorConfig
from nat_lb.director import Director, remove_fastpath
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

AT_START = ("datapath", "xdp", "queue", "control")
"""Keys of [director] that a reload does not change."""


def serve(director: Director, reread: Callable[[], Config], *, flush: bool = False) -> None:
    """Run until SIGTERM or SIGINT; SIGHUP puts `reread()` in place, `flush` ends what an earlier fast path carries.

    Raises SystemFault if the machine does not allow it.
    """
    system.require_root()
    _prepare(director)
    settings = director.config.director
    steering = _steering(director)
    steering.refuse_rival()
    answers = Answers(director)
    with (
        contextlib.closing(Injector()) as injector,
        control_socket(Path(settings.control), answers.commands) as control,
    ):
        tick = _tick(director, control)
        with QueueReader(settings.queue, director.pipeline.process, tick, injector.send) as reader:
            answers.statistics = reader.statistics
            if control is not None:
                reader.add_fd(control.fileno(), control.serve)
            reader.on_signal(signal.SIGHUP, lambda: _reload(director, steering, reread, settings))
            for ending in (signal.SIGTERM, signal.SIGINT):
                reader.on_signal(ending, reader.stop)
            _run(director, reader, steering, flush=flush)
            log.info("stopped: %s", reader.statistics())
    for reason, number in director.pipeline.refused.most_common():
        log.info("not forwarded: %d %s", number, reason.value)
    for error, number in injector.failed.most_common():
        log.info("not sent by the kernel: %d %s", number, error)


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
        _do_what_is_due(director, now)

    return tick


def _do_what_is_due(director: Director, now: float) -> None:
    """Do what time asks for, and hear from the fast path what happened."""
    try:
        director.tick(now)
    except SystemFault as fault:  # of the fast path: the reader would end the director for it
        director.lifecycle.faults.report("tick", "what time asks for", fault, now)


def _run(director: Director, reader: QueueReader, steering: Steering, *, flush: bool) -> None:
    """Let packets flow until the reader is stopped."""
    with contextlib.ExitStack() as ending:  # from the last to the first
        ending.callback(_leave_fastpath, director)
        ending.callback(reader.drain)
        ending.callback(steering.remove)
        ending.callback(notify, "STOPPING=1")
        steering.install()
        start_fastpath(director, flush=flush)
        notify("READY=1")
        log.info("ready")
        reader.run()


def start_fastpath(director: Director, *, flush: bool = False) -> None:
    """Let a fast path carry what it can, if one is wanted; what an earlier one carries ends if none is, or to `flush`.

    Raises SystemFault if there can be none and `datapath` insists on it.
    """
    wanted = director.config.director.datapath
    if flush or wanted == "nfqueue":
        try:
            remove_fastpath(director.registry, director.config)
        except SystemFault as fault:
            if wanted == "ebpf":
                raise
            log.debug("nothing is carried by a fast path here: %s", fault)
    director.start_fastpath(time.monotonic())


def _leave_fastpath(director: Director) -> None:
    offload = director.lifecycle.offload
    if offload is None:
        return
    _do_what_is_due(director, time.monotonic())
    carried = len(offload)
    try:
        offload.fastpath.leave()
    except Exception as error:
        log.warning("fast path: %s: leaving failed: %s", offload.fastpath.name, error)
    else:
        log.info("fast path: %s carries %d connections on", offload.fastpath.name, carried)


def _reload(director: Director, steering: Steering, reread: Callable[[], Config], at_start: DirectorConfig) -> None:
    """Put the file as it is now in place; `at_start` is what holds for the keys that a reload does not change."""
    try:
        config = reread()
        _do_what_is_due(director, time.monotonic())  # what happened with the services of before is told as theirs
        director.reload(config, time.monotonic())
        services = director.lifecycle.services
        steering.update(services.virtual_addresses, services.real_addresses)
    except ConfigError as error:
        log.error("reload failed, nothing was changed: %s", error)
    except SystemFault as error:
        log.error("reloaded, but packets of addresses that are new are not steered here: %s", error)
    else:
        for key in AT_START:
            present, wanted = getattr(at_start, key), getattr(director.config.director, key)
            if wanted != present:
                log.warning("[director] %s is still %s; restart nat-lb for %s", key, present, wanted)
        log.info("reloaded")
