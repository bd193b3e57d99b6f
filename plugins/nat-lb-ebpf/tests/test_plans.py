"""Plans carried out in the kernel decide as in Python: the same plan, packets and closings, decision by decision."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

import pytest

from nat_lb.api import Cycle, FlowHash, HashTable, Heaviest, LeastLoad, Load, Plan, RealServer, ServiceView
from nat_lb.testing.packets import ACK, FIN, RST, SYN, tcp
from nat_lb_ebpf.plans import compile_plan

from .duel import Duel
from .nets import IPV4, IPV6, Net

pytestmark = pytest.mark.live
Make = Callable[[ServiceView], Plan]
KEY = 2654435761


def slots(servers: Sequence[RealServer], size: int) -> list[RealServer | None]:
    """Return a table with gaps, in which servers lie in no order."""
    return [None if at % 7 == 3 else servers[at * at % len(servers)] for at in range(size)]


def hashed(size: int, *, fallback: bool = False, port: bool = True, far: bool = False, key: int | None = KEY) -> Make:
    hashing = FlowHash(size, port=port, destination=far, key=key)
    return lambda service: HashTable(slots(service.real_servers, size), hashing, fallback=fallback)


PLANS: dict[str, Make] = {
    "rr": lambda service: Cycle(service.real_servers),
    "wrr": lambda service: Cycle([server for server in service.real_servers for _ in range(server.weight)], position=2),
    "lc": lambda service: LeastLoad(service.real_servers),
    "wlc": lambda service: LeastLoad(service.real_servers, weighted=True),
    "sed": lambda service: LeastLoad(service.real_servers, Load.NEXT, weighted=True),
    "nq": lambda service: LeastLoad(service.real_servers, Load.NEXT, weighted=True, idle_first=True),
    "fo": lambda service: Heaviest(service.real_servers),
    "ovf": lambda service: Heaviest(service.real_servers, spill=True),
    "sh": hashed(256, port=False, key=None),
    "sh-port": hashed(256, key=None),
    "sh-fallback": hashed(256, key=None, fallback=True),
    "dh": hashed(256, far=True, port=False, key=None),
    "one slot": hashed(1, key=None),
    "mh": hashed(251, port=False),
    "mh-port": hashed(4093),
    "mh-fallback": hashed(251, fallback=True),
    "mh-destination": hashed(251, far=True, fallback=True),
}


class Play:
    """Random clients of one service, whose real servers are reweighed meanwhile; both sides see the same."""

    def __init__(self, duel: Duel, net: Net, make: Make, seed: int) -> None:
        self.duel, self.net, self.make, self.random = duel, net, make, random.Random(seed)
        servers = [f"{net.one}:{port} {weight} {limit}" for port, weight, limit in ((1, 1, 0), (2, 3, 6), (3, 0, 0))]
        servers += [f"{net.two}:{port} {weight} {limit}" for port, weight, limit in ((4, 2, 9), (5, 5, 0))]
        duel.serve(net.service(*servers), make)
        self.open: list[tuple[str, str]] = []

    def step(self) -> None:
        choice = self.random.random()
        if choice < 0.55 or not self.open:
            self.connect()
        elif choice < 0.95:
            self.talk()
        else:
            self.reweigh()

    def connect(self) -> None:
        host = self.net.client.replace("::2", f"::{self.random.randrange(2, 99):x}")
        host = host if "[" in host else f"202.100.1.{self.random.randrange(2, 99)}"
        client = f"{host}:{self.random.randrange(1024, 1034)}"
        packet = tcp(client, f"{self.net.vip}:80", SYN)
        slow, fast = self.duel.slow(packet), self.duel.fast(packet)
        assert (slow is None) == (fast is None), f"{client}: Python {slow is not None}, kernel {fast is not None}"
        if slow is not None and fast is not None:
            assert slow[-14:] == fast[-14:], client
            real = str(self.duel.scenario.connection(client).real)
            self.open.append((client, real))

    def talk(self) -> None:
        client, real = self.random.choice(self.open)
        flags = self.random.choice((ACK, ACK, FIN | ACK, RST, SYN))
        ends = (client, f"{self.net.vip}:80") if self.random.random() < 0.5 else (real, client)
        packet = tcp(*ends, flags, bytes(self.random.randrange(9)))
        slow, fast = self.duel.slow(packet), self.duel.fast(packet)
        assert (slow is None) == (fast is None), packet.hex()

    def reweigh(self) -> None:
        service = self.duel.services[0]
        server = self.random.choice(service.real_servers)
        assert service.scheduler is not None
        position = self.duel.path.services.position(service)
        plan = service.scheduler.present_plan
        if isinstance(plan, Cycle):
            assert position is not None
            assert position % len(plan.order) == plan.position % len(plan.order)
        other = [weight for weight in (0, 1, 2, 5) if weight != server.weight]
        server.configure(self.random.choice(other), server.upper_threshold)  # judges the load anew, in both
        service.scheduler.changed()
        assert self.duel.path.services.update(service, service.scheduler.present_plan)


@pytest.mark.parametrize("net", [IPV4, IPV6], ids=("ipv4", "ipv6"))
@pytest.mark.parametrize("name", PLANS)
def test_kernel_decides_as_the_plan_does_in_python(name: str, net: Net, tc: Duel) -> None:
    play = Play(tc, net, PLANS[name], seed=len(name))
    for number in range(400):
        play.step()
        if not number % 40:
            tc.loads()
    tc.states()
    assert sum(opened for _, _, opened, _ in tc.loads()) > 20


def test_plan_that_is_code_is_left_to_python(tc: Duel) -> None:
    service = tc.serve(IPV4.service(f"{IPV4.one}:1"), lambda view: HashTable(view.real_servers, lambda flow, at: 0))
    assert service.scheduler is not None
    assert compile_plan(service.scheduler.present_plan) is None
    assert tc.fast(tcp(f"{IPV4.client}:1", f"{IPV4.vip}:80", SYN)) is None


def test_other_plan_is_in_force_with_the_next_packet(tc: Duel) -> None:
    service = tc.serve(IPV4.service(f"{IPV4.one}:1", f"{IPV4.two}:2"), lambda view: Cycle(view.real_servers[:1]))
    for number, last in enumerate((0, 1, 0, 1, 1), 1):
        assert tc.path.services.update(service, Cycle([service.real_servers[last]]))
        assert tc.fast(tcp(f"{IPV4.client}:{number}", f"{IPV4.vip}:80", SYN)) is not None
    assert [tc.path.services.load(service, server).opened for server in service.real_servers] == [2, 3]


def test_service_without_a_plan_opens_nothing_in_the_kernel(tc: Duel) -> None:
    service = tc.serve(IPV4.service(f"{IPV4.one}:1"))
    tc.path.services.update(service, None)
    assert tc.fast(tcp(f"{IPV4.client}:1", f"{IPV4.vip}:80", SYN)) is None
    assert len(tc.path.connections) == 0
