"""The rules lead exactly the right packets to the queue, and the kernel does the rest: both families, real traffic."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nat_lb.testing.lab import Host, Lab, wait_until
from nat_lb.testing.servers import Nginx

SCRIPT = Path(__file__).with_name("fixed_nat.py")
ROOT = Path(__file__).parents[2]
FAMILIES = pytest.mark.parametrize("version", [4, 6])

ECHO = """
import socket, sys
family = socket.AF_INET6 if ":" in sys.argv[1] else socket.AF_INET
with socket.socket(family, socket.SOCK_DGRAM) as server:
    server.bind((sys.argv[1], 7))
    print("listening", flush=True)
    while True:
        data, client = server.recvfrom(65535)
        server.sendto(data, client)
"""
# Sends datagrams one after the other and prints the sizes of the answers and the addresses that they came from.
ASK = """
import socket, sys, json
address, port, size, count = sys.argv[1], *map(int, sys.argv[2:])
family = socket.AF_INET6 if ":" in address else socket.AF_INET
answers = []
with socket.socket(family, socket.SOCK_DGRAM) as client:
    client.settimeout(20)
    for number in range(count):
        question = number.to_bytes(4, "big") * (size // 4)
        client.sendto(question, (address, port))
        try:
            data, source = client.recvfrom(65535)
        except TimeoutError:
            continue
        answers.append([len(data), source[0], data == question])
print(json.dumps(answers))
"""

PING = """
import socket, struct, sys
v6 = ":" in sys.argv[1]
protocol = socket.IPPROTO_ICMPV6 if v6 else socket.IPPROTO_ICMP
request = struct.pack("!BBHHH", 128 if v6 else 8, 0, 0 if v6 else 0xFFFF - 0x0800 - 0x1234, 0x1234, 0)
with socket.socket(socket.AF_INET6 if v6 else socket.AF_INET, socket.SOCK_RAW, protocol) as ping:
    ping.settimeout(20)
    ping.sendto(request, (sys.argv[1], 0))
    while True:
        data = ping.recv(2000)
        if (data if v6 else data[20:])[:6:4] == bytes((129 if v6 else 0, 0x12)):
            break
print("answered")
"""


class Director:
    """A running fixed_nat.py: the first real server behind the VIP, in both families."""

    def __init__(self, lab: Lab, queue: int = 3) -> None:
        self.host = lab.director
        self._log = lab.directory / f"fixed-nat-{time.monotonic_ns()}.log"
        server = lab.servers[0]
        command: list[str | Path] = [sys.executable, SCRIPT, str(queue), lab.vip, server.v4, lab.vip6, server.v6]
        with self._log.open("w") as log:
            environment = {**os.environ, "PYTHONPATH": str(ROOT)}
            self.process = self.host.spawn(command, stdout=log, stderr=log, env=environment)
        wait_until(lambda: "ready" in self.lines or self.process.poll() is not None, what="the director")

    @property
    def lines(self) -> list[str]:
        return self._log.read_text().splitlines()

    def stop(self) -> Any:
        """End it by SIGTERM and return its statistics."""
        assert self.host.stop(self.process) == 0, self.lines[-5:]
        return json.loads(self.lines[-1])


@pytest.fixture
def director(shared_lab: Lab) -> Iterator[Director]:
    running = Director(shared_lab)
    yield running
    running.stop()


@contextlib.contextmanager
def echo(server: Host, version: int) -> Iterator[None]:
    address = server.v4 if version == 4 else server.v6
    child = server.spawn([sys.executable, "-c", ECHO, address], stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "listening\n"
        yield
    finally:
        server.stop(child)


def ask(host: Host, address: str, port: int = 7, size: int = 100, count: int = 1) -> Any:
    return json.loads(host.python(ASK, address, str(port), str(size), str(count)).stdout)


def vip(lab: Lab, version: int) -> str:
    return lab.vip if version == 4 else lab.vip6


def url(lab: Lab, version: int) -> str:
    return f"http://{lab.vip}/" if version == 4 else f"http://[{lab.vip6}]/"


def rules(host: Host) -> str:
    return "".join(host.run([f"{program}-save"], check=True).stdout for program in ("iptables", "ip6tables"))


@FAMILIES
@pytest.mark.parametrize("who", ["client", "director"])
def test_client_and_director_itself_reach_the_real_server(
    shared_lab: Lab, director: Director, version: int, who: str
) -> None:
    host: Host = getattr(shared_lab, who)
    with Nginx(shared_lab.servers[0]) as web:
        assert host.run(["curl", "-sS", "-m", "30", url(shared_lab, version)]).stdout == "server1\n"
        seen = web.requests(expected=1)
    if who == "client":
        assert seen[0].split()[0] == (host.v4 if version == 4 else host.v6)


@FAMILIES
def test_kernel_tracking_sees_the_client_and_the_real_server_only(
    shared_lab: Lab, director: Director, version: int
) -> None:
    tracked = ["-m", "conntrack", "--ctstate", "INVALID", "-m", "comment", "--comment", "test"]
    program = "iptables" if version == 4 else "ip6tables"
    shared_lab.director.run([program, "-A", "FORWARD", *tracked], check=True)  # turns tracking on
    with Nginx(shared_lab.servers[0]):
        answer = shared_lab.client.run(["curl", "-sS", "-m", "30", url(shared_lab, version)]).stdout
    table = shared_lab.director.run(["conntrack", "-L", "-f", f"ipv{version}"], check=True).stdout
    shared_lab.director.run([program, "-D", "FORWARD", *tracked], check=True)
    assert answer == "server1\n"
    assert "dport=80" in table
    assert vip(shared_lab, version) not in table


@FAMILIES
@pytest.mark.parametrize("size", [1000, 3000, 8000, 60000])
def test_fragmented_datagram_is_seen_whole_and_answered_whole(
    shared_lab: Lab, director: Director, version: int, size: int
) -> None:
    with echo(shared_lab.servers[0], version):
        assert ask(shared_lab.client, vip(shared_lab, version), size=size) == [[size, vip(shared_lab, version), True]]
    whole = size + (28 if version == 4 else 48)
    assert [line for line in director.lines if " 17 " in line] == [
        f"BEFORE_ROUTING 17 {whole} translated",
        f"AFTER_ROUTING 17 {whole} translated",
    ]


@FAMILIES
@pytest.mark.parametrize("who", ["client", "director"])
def test_injected_answer_arrives_and_is_not_queued_again(
    shared_lab: Lab, director: Director, version: int, who: str
) -> None:
    address = vip(shared_lab, version)
    assert ask(getattr(shared_lab, who), address, port=9) == [[7, address, False]]
    assert [line.split()[-1] for line in director.lines if " 17 " in line] == ["answered"]


@FAMILIES
def test_path_mtu_error_of_the_directors_own_stack_is_queued(shared_lab: Lab, director: Director, version: int) -> None:
    server = shared_lab.servers[0]
    address = server.v4 if version == 4 else server.v6
    route = ["ip", "route", "replace", address, "dev", "inside", "mtu", "1300"]
    shared_lab.director.run(route, check=True)
    source = ASK.replace("client.settimeout(20)", "client.settimeout(1); client.setsockopt(*map(int, sys.argv[5:]))")
    source = source.replace("sys.argv[2:]", "sys.argv[2:5]")
    discover = ["0", "10", "2"] if version == 4 else ["41", "23", "2"]  # IP_MTU_DISCOVER, IPV6_MTU_DISCOVER: always
    shared_lab.client.python(source, vip(shared_lab, version), "7", "1400", "1", *discover)
    shared_lab.director.run(["ip", "route", "delete", address, "dev", "inside"], check=True)
    protocol = 1 if version == 4 else 58
    seen = wait_until(lambda: [line for line in director.lines if f" {protocol} " in line])
    assert [line.split()[:2] for line in seen] == [["AFTER_ROUTING", str(protocol)]]


@FAMILIES
def test_echo_and_neighbour_discovery_stay_with_the_kernel(shared_lab: Lab, director: Director, version: int) -> None:
    shared_lab.client.run(["ip", "neigh", "flush", "dev", "eth0"], check=True)
    assert shared_lab.client.python(PING, vip(shared_lab, version)).stdout == "answered\n"
    assert director.lines == ["ready"]


@FAMILIES
def test_rules_are_replaced_without_a_gap(shared_lab: Lab, director: Director, version: int) -> None:
    address = vip(shared_lab, version)
    answers, updates = shared_lab.directory / f"answers{version}", 0
    with echo(shared_lab.servers[0], version), answers.open("w") as output:
        command = [sys.executable, "-c", ASK, address, "7", "40", "20000"]
        child = shared_lab.client.spawn(command, stdout=output)
        while child.poll() is None and updates < 400:
            director.process.send_signal(signal.SIGHUP)
            updates += 1
            time.sleep(0.2)
    assert 2 < updates < 400
    assert json.loads(answers.read_text()) == [[40, address, True]] * 20000


def test_rules_go_with_the_director_and_leave_others_alone(shared_lab: Lab) -> None:
    shared_lab.director.run(["iptables", "-t", "raw", "-A", "PREROUTING", "-s", "192.0.2.7", "-j", "DROP"], check=True)
    director = Director(shared_lab)
    during = rules(shared_lab.director)
    statistics = director.stop()
    after = rules(shared_lab.director)
    shared_lab.director.run(["iptables", "-t", "raw", "-F", "PREROUTING"], check=True)
    assert "NAT-LB" in during and "192.0.2.7/32 -j DROP" in during
    assert "NAT-LB" not in after and "192.0.2.7/32 -j DROP" in after
    assert (statistics["faults"], statistics["lost_queue_full"]) == (0, 0)


def test_rules_of_a_killed_director_stay_closed_until_the_next_takes_over(shared_lab: Lab) -> None:
    first = Director(shared_lab)
    shared_lab.director.stop(first.process, signal.SIGKILL)
    assert "NAT-LB" in rules(shared_lab.director)
    with Nginx(shared_lab.servers[0]):
        refused = shared_lab.client.run(["curl", "-sS", "-m", "1", url(shared_lab, 4)])
        second = Director(shared_lab, queue=11)
        answered = shared_lab.client.run(["curl", "-sS", "-m", "30", url(shared_lab, 4)])
    second.stop()
    assert refused.returncode == 28  # nothing came back: not even a reset of a connection that might live on
    assert answered.stdout == "server1\n"
    assert "NAT-LB" not in rules(shared_lab.director)


def test_second_director_is_refused_and_the_first_lives_on(shared_lab: Lab, director: Director) -> None:
    for queue, words in ((3, "queue 3: already in use"), (11, "another nat-lb is running")):
        second = Director(shared_lab, queue)
        assert second.process.wait(60) == 1
        assert words in second.lines[-1]
    with Nginx(shared_lab.servers[0]):
        assert shared_lab.client.run(["curl", "-sS", "-m", "30", url(shared_lab, 4)]).stdout == "server1\n"
