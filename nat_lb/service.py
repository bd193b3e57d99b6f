"""Virtual services and their real servers, as they are right now.

The law: a real server's load is what the connection table says it is, and whoever may not be chosen (quiesced or
overloaded) says so itself through `usable`; a scheduler only asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from nat_lb.fallback import Fallback
from nat_lb.flow import Address, Endpoint
from nat_lb.nat import Binding, Traffic
from nat_lb.tracker import Tracker

if TYPE_CHECKING:
    from nat_lb.helper import HelperFactory
    from nat_lb.scheduler import Scheduler


class CarriedLoad(NamedTuple):
    """What a real server's connections amount to; packets and octets (IP headers included) by Direction."""

    active: int
    inactive: int
    opened: int
    packets: tuple[int, int]
    octets: tuple[int, int]


def default_lower_threshold(upper: int) -> int:
    """Return the lower threshold where none is set: three quarters of the upper one, as in IPVS."""
    return upper - upper // 4


class RealServer:
    """One real server of one virtual service."""

    __slots__ = (
        "active",
        "binding",
        "carried",
        "endpoint",
        "inactive",
        "lower_threshold",
        "opened",
        "overloaded",
        "traffic",
        "upper_threshold",
        "weight",
    )

    def __init__(self, endpoint: Endpoint, weight: int = 1, upper_threshold: int = 0, lower_threshold: int = 0) -> None:
        self.endpoint = endpoint
        self.active = 0  # connections that count as load
        self.inactive = 0  # connections that wind down
        self.opened = 0  # connections ever opened
        self.overloaded = False
        self.traffic = (Traffic(), Traffic())  # by Direction
        self.carried: CarriedLoad | None = None  # what of all this the fast path accounts for
        self.configure(weight, upper_threshold, lower_threshold)

    def configure(self, weight: int, upper_threshold: int = 0, lower_threshold: int = 0) -> None:
        """Change the weight and the connection thresholds (0: none); the load is judged anew."""
        self.weight = weight
        self.upper_threshold = upper_threshold
        self.lower_threshold = lower_threshold or default_lower_threshold(upper_threshold)
        self.overloaded = False
        self.judge_load()

    def bind(self, binding: Binding) -> None:
        """Join a service: `binding` holds the translations that all its connections share."""
        self.binding = binding

    @property
    def connections(self) -> int:
        """Connections in the table, active and inactive."""
        return self.active + self.inactive

    @property
    def usable(self) -> bool:
        """Whether new connections may be given to it: neither quiesced (weight 0) nor overloaded."""
        return self.weight > 0 and not self.overloaded

    def judge_load(self) -> None:
        """Set or clear `overloaded`: set at the upper threshold, cleared below the lower one."""
        if not self.upper_threshold:
            self.overloaded = False
        elif self.connections >= self.upper_threshold:
            self.overloaded = True
        elif self.connections < self.lower_threshold:
            self.overloaded = False

    def count(self, active: int, inactive: int) -> None:
        """Add to the numbers of active and inactive connections."""
        self.active += active
        self.inactive += inactive
        if self.upper_threshold:
            self.judge_load()

    def carry(self, load: CarriedLoad) -> None:
        """Bring all counters up to date with what the fast path carries now."""
        before = self.carried or CarriedLoad(0, 0, 0, (0, 0), (0, 0))
        self.carried = load
        self.opened += load.opened - before.opened
        for way, traffic in enumerate(self.traffic):
            traffic.packets += load.packets[way] - before.packets[way]
            traffic.octets += load.octets[way] - before.octets[way]
        self.count(load.active - before.active, load.inactive - before.inactive)

    def __str__(self) -> str:
        return str(self.endpoint)

    def __repr__(self) -> str:
        return f"RealServer({self.endpoint}, weight={self.weight})"


class Tracking:
    """How one service tracks one protocol: the tracker, and this service's timeouts (seconds, by state number)."""

    __slots__ = ("active", "has_ports", "opening", "reopened", "timeouts", "tracker")

    def __init__(self, tracker: type[Tracker], timeouts: tuple[float, ...]) -> None:
        self.tracker = tracker
        self.timeouts = timeouts
        self.has_ports = tracker.has_ports()
        self.opening = tuple(tracker.event(octet) in tracker.opening for octet in range(256))
        self.active = tuple(state in tracker.active for state in tracker.states)
        self.reopened = tuple(state in tracker.reopened for state in tracker.states)

    def may_open(self, header: bytes, sloppy: bool) -> bool:
        """Whether a packet with this transport header may open a connection; `sloppy` admits all but sterile events."""
        at = self.tracker.event_at
        octet = header[at] if at is not None else 0
        return self.opening[octet] or (sloppy and self.tracker.event(octet) not in self.tracker.sterile)


class VirtualService:
    """One virtual service: an endpoint of the director, a scheduler, and the real servers behind it."""

    def __init__(self, name: str, tracker: type[Tracker], endpoint: Endpoint, timeouts: tuple[float, ...]) -> None:
        self.name = name
        self.endpoint = endpoint
        self.tracking = Tracking(tracker, timeouts)
        self.related: dict[str, Tracking] = {}  # of the protocols that helpers may expect connections of, by name
        self.real_servers: list[RealServer] = []
        self.scheduler: Scheduler | None = None
        self.fallback = Fallback()
        self.helpers: dict[str, HelperFactory] = {}
        self.persistence = 0.0  # seconds, 0 is off
        self.netmask: int = endpoint.address.max_prefixlen  # prefix length of what counts as one client
        self.sloppy = False
        self.opens_from_inside = False  # its real servers' packets may open connections, too
        self.now = 0.0  # seconds; the time of the packet that is being scheduled

    @property
    def tracker(self) -> type[Tracker]:
        """The tracker of the service's own protocol."""
        return self.tracking.tracker

    @property
    def trackings(self) -> list[Tracking]:
        """How connections of every protocol are tracked, the service's own first."""
        return [self.tracking, *self.related.values()]

    def tracking_of(self, protocol: str) -> Tracking | None:
        """Return how connections of a protocol are tracked, "" is the service's own; None if no tracker has it."""
        return self.tracking if protocol in ("", self.tracker.name) else self.related.get(protocol)

    def add(self, real_server: RealServer) -> None:
        """Append a real server and prepare its translations."""
        real_server.bind(Binding(self.tracker, self.endpoint, real_server.endpoint, real_server.traffic))
        self.real_servers.append(real_server)

    @property
    def deciding(self) -> Scheduler | None:
        """The scheduler that decides at `now`: the service's own, or its fallback while that one is left alone."""
        return self.fallback.scheduler if self.fallback.is_in_charge(self.now) else self.scheduler

    def real_server_at(self, endpoint: Endpoint) -> RealServer | None:
        """Return the real server with this endpoint, or None."""
        return next((server for server in self.real_servers if server.endpoint == endpoint), None)

    def client_network(self, client: Address) -> bytes:
        """Return the packed network that persistence takes for one client."""
        spare = client.max_prefixlen - self.netmask
        return (int(client) >> spare << spare).to_bytes(len(client.packed), "big")

    @property
    def key(self) -> bytes:
        """The key of `ServiceTable`: protocol, address and port."""
        address, port = self.endpoint.packed
        return bytes((self.tracker.protocol,)) + address + port

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"VirtualService({self.name}, {self.tracker.name} {self.endpoint})"


class ServiceTable:
    """All virtual services: which one a packet is for, and whose an address is."""

    def __init__(self, services: Iterable[VirtualService] = ()) -> None:
        self.replace(services)

    def __iter__(self) -> Iterator[VirtualService]:
        return iter(self._by_key.values())

    def replace(self, services: Iterable[VirtualService]) -> None:
        """Put these services, whose real servers are already in them, in the place of all."""
        self._by_key = {service.key: service for service in services}
        self._virtual_addresses = {service.endpoint.address.packed for service in self}
        self._real_addresses = {server.endpoint.address.packed for service in self for server in service.real_servers}
        self._helped_addresses = {
            server.endpoint.address.packed for service in self if service.helpers for server in service.real_servers
        }
        self._by_real = {
            bytes((service.tracker.protocol,)) + b"".join(server.endpoint.packed): service
            for service in self
            for server in service.real_servers
        }

    def by_key(self, key: bytes) -> VirtualService | None:
        """Return the service with this `VirtualService.key`, or None."""
        return self._by_key.get(key)

    def find(self, protocol: int, address: bytes, port: bytes) -> VirtualService | None:
        """Return the service of a virtual endpoint (packed), or None."""
        return self._by_key.get(bytes((protocol,)) + address + port)

    def find_by_real(self, protocol: int, address: bytes, port: bytes) -> VirtualService | None:
        """Return a service that has a real server at this endpoint (packed), or None."""
        return self._by_real.get(bytes((protocol,)) + address + port)

    def is_virtual(self, address: bytes) -> bool:
        """Whether the packed address is a VIP."""
        return address in self._virtual_addresses

    def is_real(self, address: bytes) -> bool:
        """Whether the packed address is a real server's."""
        return address in self._real_addresses

    def is_helped(self, address: bytes) -> bool:
        """Whether the packed address is that of a real server whose service has a helper."""
        return address in self._helped_addresses

    @property
    def virtual_addresses(self) -> list[str]:
        """Every VIP once, in the file's order."""
        return list(dict.fromkeys(str(service.endpoint.address) for service in self))

    @property
    def real_addresses(self) -> list[str]:
        """Every real server's address once, in the file's order."""
        return list(dict.fromkeys(str(server.endpoint.address) for service in self for server in service.real_servers))
