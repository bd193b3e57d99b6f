"""The loop of a running director: it always comes back, whatever its callables, the network or the operator do."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from nat_lb.testing.lab import Lab

ROOT = Path(__file__).parents[2]

# Every exercise runs in the director's namespace; datagrams to port 9 of 127.0.0.1 are queued, then dropped.
PROLOGUE = f"""
import contextlib, json, os, signal, socket, sys, threading, time
sys.path.insert(0, {str(ROOT)!r})
from nat_lb.errors import SystemFault
from nat_lb.io.nfqueue import QueueReader
from nat_lb.verdict import Drop, Reason

SO_SNDBUFFORCE = 32

def nothing(*arguments): pass

def flood(count, seconds=0.0):
    end = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        with contextlib.suppress(PermissionError):  # a user namespace may not, and its sender waits for the queue
            sender.setsockopt(socket.SOL_SOCKET, SO_SNDBUFFORCE, 100_000_000)
        while count > 0 or time.monotonic() < end:
            sender.sendto(b"x" * 100, ("127.0.0.1", 9))
            count -= 1

def told(**results):
    print(json.dumps(results))
"""
RULE = ["OUTPUT", "-p", "udp", "-d", "127.0.0.1", "--dport", "9"]


@pytest.fixture(scope="module", autouse=True)
def loopback_rules(shared_lab: Lab) -> None:
    for table, target in (("raw", ["NFQUEUE", "--queue-num", "20"]), ("mangle", ["DROP"])):
        shared_lab.director.run(["iptables", "-t", table, "-A", *RULE, "-j", *target], check=True)


def exercise(lab: Lab, source: str, *before: str) -> Any:
    done = lab.director.run([*before, sys.executable, "-c", PROLOGUE + source], timeout=60)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout) | {"log": done.stderr}


def test_ticks_and_signals_have_their_turn_under_full_load(shared_lab: Lab) -> None:
    told = exercise(
        shared_lab,
        """
flooder = os.fork()
if flooder == 0:
    flood(0, seconds=60)
    os._exit(0)
ticks, ended = [], []
def stop():
    ended.append(time.monotonic())
    reader.stop()
with QueueReader(20, lambda data, now, stage: data, ticks.append, nothing) as reader:
    reader.on_signal(signal.SIGTERM, stop)
    threading.Timer(4.0, lambda: ended.append(time.monotonic()) or os.kill(os.getpid(), signal.SIGTERM)).start()
    reader.run()
    statistics = reader.statistics()
    os.kill(flooder, signal.SIGKILL)
told(gaps=[b - a for a, b in zip(ticks, ticks[1:])], reaction=ended[1] - ended[0], received=statistics.received)
""",
    )
    assert len(told["gaps"]) >= 2
    assert max(told["gaps"]) < 3, "one a second, and without turns none at all"
    assert told["reaction"] < 3
    assert told["received"] > 2_000


def test_idle_loop_ticks_and_serves_its_descriptors(shared_lab: Lab) -> None:
    told = exercise(
        shared_lab,
        """
ours, theirs = socket.socketpair()
ticks, got = [], []
def serve():
    got.append(ours.recv(10).decode())
    if got[-1] == "fail": raise ValueError("a client of the control socket")
    if got[-1] == "end": reader.stop()
def tick(now):
    ticks.append(now)
    theirs.send((b"fail", b"still", b"end")[len(ticks) - 1])
with QueueReader(20, nothing, tick, nothing) as reader:
    reader.add_fd(ours.fileno(), serve)
    reader.run()
    faults = reader.statistics().faults
told(gaps=[b - a for a, b in zip(ticks, ticks[1:])], got=got, faults=faults)
""",
    )
    assert (told["got"], told["faults"]) == (["fail", "still", "end"], 1)
    assert min(told["gaps"]) > 0.5, "one a second"
    assert "a callback: ValueError: a client of the control socket" in told["log"]


def test_signal_runs_between_two_packets_and_a_failing_one_stops_nothing(shared_lab: Lab) -> None:
    told = exercise(
        shared_lab,
        """
inside, seen = [False], []
def process(data, now, stage):
    inside[0] = True
    os.kill(os.getpid(), signal.SIGHUP)
    for _ in range(1000): pass
    inside[0] = False
    return data
def reload():
    seen.append(inside[0])
    if len(seen) < 3:
        flood(1)
    else:
        reader.stop()
    raise SyntaxError("the new file")
with QueueReader(20, process, nothing, nothing) as reader:
    reader.on_signal(signal.SIGHUP, reload)
    flood(1)
    reader.run()
told(seen=seen, restored=signal.getsignal(signal.SIGHUP) is signal.SIG_DFL)
""",
    )
    assert told["seen"] == [False] * 3
    assert told["restored"]


def test_faults_of_every_callable_leave_the_queue_running(shared_lab: Lab) -> None:
    told = exercise(
        shared_lab,
        """
def process(data, now, stage):
    process.calls += 1
    raise KeyError("plugin")
process.calls = 0
def tick(now):
    tick.calls += 1
    if tick.calls >= 3 and process.calls == 500: reader.stop()
    raise ZeroDivisionError
tick.calls = 0
with QueueReader(20, process, tick, nothing) as reader:
    threading.Timer(0.2, flood, [500]).start()
    reader.run()
    statistics = reader.statistics()
told(calls=process.calls, ticks=tick.calls, faults=statistics.faults, waiting=statistics.waiting,
     received=statistics.received)
""",
    )
    assert told["calls"] == told["received"] == 500
    assert told["faults"] == 500 + told["ticks"]
    assert told["waiting"] == 0  # each had its verdict
    assert told["log"].count("Traceback") == 1


def test_overflow_is_survived_and_counted(shared_lab: Lab) -> None:
    told = exercise(
        shared_lab,
        """
with QueueReader(20, lambda data, now, stage: Drop(Reason.NO_SERVICE), nothing, nothing, max_len=100) as reader:
    flood(1000)
    full = reader.statistics()
    reader.drain()
    flood(50)
    reader.drain()
    after = reader.statistics()
told(waiting=full.waiting, lost=full.lost_queue_full + full.lost_socket_full, dropped=after.not_forwarded,
     left=after.waiting)
""",
    )
    assert 0 < told["waiting"] <= 101
    assert told["waiting"] + told["lost"] == 1000
    assert (told["dropped"], told["left"]) == (told["waiting"] + 50, 0)


def test_taken_queue_is_refused_by_number(shared_lab: Lab) -> None:
    told = exercise(
        shared_lab,
        """
with QueueReader(20, nothing, nothing, nothing):
    try: QueueReader(19, nothing, nothing, nothing)
    except SystemFault as error: said = str(error)
with QueueReader(19, nothing, nothing, nothing): pass
told(said=said)
""",
    )
    assert told["said"].startswith("queue 20: already in use")


def test_missing_privilege_is_explained(shared_lab: Lab) -> None:
    told = exercise(
        shared_lab,
        """
from nat_lb.io.inject import Injector
from nat_lb.io.system import require_root
said = []
for attempt in (require_root, Injector, lambda: QueueReader(20, nothing, nothing, nothing)):
    try: attempt()
    except SystemFault as error: said.append(str(error))
told(said=said)
""",
        *("setpriv", "--bounding-set=-net_admin,-net_raw"),
    )
    require, injector, queue = told["said"]
    assert "lacks CAP_NET_ADMIN and CAP_NET_RAW" in require
    assert "cannot open a raw socket" in injector and "CAP_NET_RAW" in injector
    assert queue.startswith("queue 20: cannot be opened") and "Run nat-lb as root" in queue


def test_injector_counts_what_the_kernel_refuses(shared_lab: Lab) -> None:
    told = exercise(
        shared_lab,
        """
from nat_lb.io.inject import Injector
from nat_lb.packet import build
injector = Injector()
v4, v6 = socket.inet_aton, lambda text: socket.inet_pton(socket.AF_INET6, text)
injector.send(build(v4("202.103.106.5"), v4("202.100.1.2"), 17, bytes(3000)))
injector.send(build(v6("2001:db8:103::5"), v6("2001:db8:100::2"), 17, bytes(3000)))
injector.send(build(v4("202.103.106.5"), v4("9.9.9.9"), 17, bytes(8)))
injector.send(b"")
injector.send(bytes(5))
injector.send(build(v4("202.103.106.5"), v4("202.100.1.2"), 17, bytes(8)))
sent = injector.sent
injector.close()
injector.send(build(v4("202.103.106.5"), v4("202.100.1.2"), 17, bytes(8)))
told(sent=sent, failed=injector.failed)
""",
    )
    assert told["sent"] == 1
    assert told["failed"] == {"EMSGSIZE": 2, "ENETUNREACH": 1, "malformed": 2, "EBADF": 1}
