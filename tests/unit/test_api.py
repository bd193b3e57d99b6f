"""The public interface of plugins: a change to it is a change for every plugin, so it is written down here."""

from __future__ import annotations

from nat_lb import api
from tests.docs.api_page import constructor, methods

# What plugins call, override and make. A line that changes or goes breaks plugins: raise the version's second number.
SIGNATURES = """
Cycle(order: Sequence[RealServer], position: int = 0)
Cycle.choose(flow: FlowKey) -> RealServer | None
Cycle.explain(flow: FlowKey) -> str
Carried(key: bytes, service: bytes, server: Endpoint, virtual: Endpoint, real: Endpoint, state: int, last_seen: float)
CarriedEvent(what: Happening, carried: Carried, old_state: int, reason: str)
CarriedLoad(active: int, inactive: int, opened: int, packets: tuple[int, int], octets: tuple[int, int])
Edit(start: int, end: int, text: bytes)
Endpoint(address: Address, port: int)
Endpoint.packed: tuple[bytes, bytes]
FastPath.publish(services: Iterable[tuple[VirtualService, Plan | None]], wanted: frozenset[Happening]) -> None
FastPath.start() -> None
FastPath.settle(service: VirtualService) -> None
FastPath.open(connection: Connection) -> bool
FastPath.find(key: bytes) -> Carried | None
FastPath.note(key: bytes, octet: int, length: int) -> None
FastPath.close(key: bytes) -> None
FastPath.load(service: VirtualService, server: RealServer) -> CarriedLoad
FastPath.events() -> Iterable[CarriedEvent]
FastPath.lost: int
FastPath.status() -> Mapping[str, Any]
FastPath.leave() -> None
FastPath.remove() -> None
FlowHash(size: int, port: bool = False, destination: bool = False, key: int | None = None)
FlowHash.of(endpoint: Endpoint, offset: int = 0) -> int
FlowKey(protocol: int, source: Endpoint, destination: Endpoint)
FlowKey.from_bytes(key: bytes) -> FlowKey
FlowKey.to_bytes() -> bytes
FlowKey.reversed() -> FlowKey
HashTable(slots: Sequence[RealServer | None], key: Callable[[FlowKey, int], int], *, fallback: bool = False)
HashTable.choose(flow: FlowKey) -> RealServer | None
HashTable.explain(flow: FlowKey) -> str
Heaviest(servers: Sequence[RealServer], *, spill: bool = False)
Heaviest.choose(flow: FlowKey) -> RealServer | None
Heaviest.explain(flow: FlowKey) -> str
Helper(peers: Peers, options: Any = None)
Helper.frame(data: bytes, direction: Direction) -> int
Helper.holds(tail: bytes, direction: Direction) -> bool
Helper.ignores(octets: bytes, direction: Direction) -> bool
Helper.rewrite(message: Message) -> Iterable[Edit]
LeastLoad(servers: Sequence[RealServer], load: Load = Load.OVERHEAD, *, weighted: bool = False, idle_first: bool = False)
LeastLoad.choose(flow: FlowKey) -> RealServer | None
LeastLoad.explain(flow: FlowKey) -> str
Load.of(server: RealServer) -> int
Message(data: bytes, direction: Direction, peers: Peers, registrar: Registrar)
Message.from_client: bool
Message.expect_client(real: Endpoint, *, protocol: str = '', ports: int = 1, helper: str | None = None, any_client: bool = False, many: bool = False, bound: bool = False, timeout: float | None = None) -> Endpoint
Message.expect_server(client: Endpoint, *, protocol: str = '', ports: int = 1, helper: str | None = None, many: bool = False, bound: bool = False, timeout: float | None = None) -> None
Message.expect_between(client: Endpoint, real: Endpoint, *, protocol: str = '', helper: str | None = None, bound: bool = False, timeout: float | None = None) -> Endpoint
Message.expect_range(ports: range, *, helper: str | None = None) -> None
Message.forget(public: Endpoint, *, protocol: str = '') -> None
Message.known_as(real: Endpoint, *, protocol: str = '') -> Endpoint | None
Message.refuse(why: str, *, kind: str = 'refused') -> None
Message.stop() -> None
Peers(client: Endpoint, virtual: Endpoint, real: Endpoint)
Plan.choose(flow: FlowKey) -> RealServer | None
Plan.explain(flow: FlowKey) -> str
RealServer(endpoint: Endpoint, weight: int = 1, upper_threshold: int = 0, lower_threshold: int = 0)
RealServer.configure(weight: int, upper_threshold: int = 0, lower_threshold: int = 0) -> None
RealServer.bind(binding: Binding) -> None
RealServer.connections: int
RealServer.usable: bool
RealServer.judge_load() -> None
RealServer.count(active: int, inactive: int) -> None
RealServer.carry(load: CarriedLoad) -> None
Recent(size: int, expiry: float)
Recent.get(key: Key, now: float) -> Value | None
Recent.put(key: Key, value: Value, now: float) -> None
Recent.forget(unwanted: Callable[[Value], bool]) -> None
Refusal(why: str, kind: str = 'refused')
Scheduler(service: ServiceView, options: Any = None)
Scheduler.plan() -> Plan | None
Scheduler.changed() -> None
Scheduler.present_plan: Plan | None
Scheduler.schedule(flow: FlowKey) -> RealServer | None
Scheduler.explain(flow: FlowKey) -> str
ServiceView.name: str
ServiceView.real_servers: Sequence[RealServer]
ServiceView.now: float
Tracker.event(octet: int) -> str
Tracker.has_ports() -> bool
Tracker.recognises(header: bytes) -> bool
Tracker.timeout_names() -> frozenset[str]
Tracker.check() -> None
Tracker.rows(direction: Direction) -> Rows
Tracker.seconds(*tables: Mapping[str, float]) -> tuple[float, ...]
"""  # noqa: E501


def test_public_names_are_exactly_these() -> None:
    assert api.__all__ == [
        "Address", "Carried", "CarriedEvent", "CarriedLoad", "Config", "Connection", "Cycle", "Direction",
        "Edit", "Endpoint", "ExpectationRefused", "FastPath", "FlowHash", "FlowKey", "Happening",
        "HashTable", "Heaviest", "Helper", "LeastLoad", "Load", "Message", "Options", "Peers", "Plan",
        "RealServer", "Recent", "Refusal", "Scheduler", "ServiceView", "SystemFault", "Tracker",
        "VirtualService", "hookimpl",
    ]  # fmt: skip


def test_every_public_name_is_there_and_documented() -> None:
    for name in api.__all__:
        assert getattr(api, name, None) is not None, name
        if isinstance(getattr(api, name), type):
            assert getattr(api, name).__doc__, name


def test_signatures_of_what_plugins_use_are_exactly_these() -> None:
    classes = dict.fromkeys(line.partition("(")[0].partition(".")[0] for line in SIGNATURES.split("\n") if line)
    found = []
    for name in classes:
        made = constructor(name, getattr(api, name))
        found += [made] if made != name else []
        found += [f"{name}.{method}{written}" for method, written, _ in methods(getattr(api, name))]
    assert found == SIGNATURES.strip().splitlines()
