"""Terminals on real servers that register at a gatekeeper outside: each is known by endpoints of its own."""

from __future__ import annotations

import pytest
from scapy.layers.inet import IP, UDP

from nat_lb.testing.helper_play import SCHEDULER, registry_with
from nat_lb.testing.packets import SYN, endpoint
from nat_lb.testing.scenario import Outcome, Scenario
from nat_lb_h323.asn1 import read_ras
from nat_lb_h323.testing import Value, address, ras

VIP, REALS = "202.103.106.5", ("172.16.0.2", "172.16.0.3")
GATEKEEPER, ANYBODY = "202.100.1.2:1719", "198.51.100.7"
RAS = f"""
[[service]]
protocol = "udp"
address = "{VIP}"
port = 1719
scheduler = "{SCHEDULER}"
helpers = ["ras"]
real_server = [{{ address = "{REALS[0]}" }}, {{ address = "{REALS[1]}" }}]
[service.timeouts]
udp = 3600
"""
CALLS = RAS.replace("udp", "tcp", 1).replace("1719", "1720").replace('"ras"', '"h323"').partition("[service.t")[0]


class Terminal:
    """One on a real server, which asks to be registered as soon as it is made."""

    def __init__(self, scenario: Scenario, host: str, **fields: object) -> None:
        self.host = host
        self.scenario = scenario
        told = self.says("registrationRequest", **self.endpoints, **fields)
        packet = IP(told.packet)
        self.public = f"{packet.src}:{packet[UDP].sport}"
        named = {field.name: str(field.endpoint) for field in read_ras(bytes(packet[UDP].payload)).fields}
        self.ras, self.calls = named["rasAddress"], named["callSignalAddress"]

    @property
    def endpoints(self) -> dict[str, list[Value]]:
        places = {"rasAddress": 1719, "callSignalAddress": 1720}
        return {name: [address(endpoint(f"{self.host}:{port}"))] for name, port in places.items()}

    def says(self, kind: str, **fields: object) -> Outcome:
        """Say something to the gatekeeper."""
        return self.scenario.server(f"{self.host}:1719", GATEKEEPER).sends_datagram(ras(kind, **fields))

    def is_told(self, kind: str, **fields: object) -> None:
        """Let the gatekeeper say something to where it saw the terminal."""
        told = self.scenario.client(GATEKEEPER, self.public).sends_datagram(ras(kind, **fields))
        told.expect_forwarded(dst=f"{self.host}:1719")

    def is_called(self, port: int) -> Outcome:
        """Call it, as somebody whom the gatekeeper told where it is."""
        return self.scenario.client(f"{ANYBODY}:{port}", self.calls).sends(SYN)


@pytest.mark.parametrize("services", [RAS, RAS + CALLS], ids=["alone", "with calls to the virtual address"])
def test_gatekeeper_knows_two_terminals_behind_one_address_apart(services: str) -> None:
    scenario = Scenario(services, registry_with())
    terminals = [Terminal(scenario, host) for host in REALS]
    for terminal in terminals:
        terminal.is_told("registrationConfirm")
        assert terminal.ras == terminal.public
    assert len({terminal.public for terminal in terminals}) == len({terminal.calls for terminal in terminals}) == 2
    assert {terminal.public.split(":")[0] for terminal in terminals} == {VIP}
    for number, terminal in enumerate(terminals):
        terminal.is_called(4000 + number).expect_forwarded(dst=f"{terminal.host}:1720")


def test_terminal_is_called_as_long_as_its_registration_counts() -> None:
    scenario = Scenario(RAS, registry_with())
    terminal = Terminal(scenario, REALS[0], timeToLive=60)
    terminal.is_told("registrationConfirm", timeToLive=60)
    for port in range(4000, 4003):
        scenario.time(50)
        terminal.says("registrationRequest", keepAlive=True, timeToLive=60)
        terminal.is_told("registrationConfirm", timeToLive=60)
        terminal.is_called(port).expect_forwarded(dst=f"{REALS[0]}:1720")
    scenario.time(61)
    terminal.is_called(5000).expect_reset("no-service")


def test_gatekeeper_on_a_real_server_may_speak_first_to_a_terminal() -> None:
    scenario = Scenario(RAS, registry_with())
    asks = ras("infoRequest", replyAddress=address(endpoint(f"{REALS[1]}:1719")))
    told = scenario.server(f"{REALS[1]}:1719", GATEKEEPER).sends_datagram(asks)
    told.expect_forwarded(src=f"{VIP}:1719", payload=ras("infoRequest", replyAddress=address(endpoint(f"{VIP}:1719"))))
    answer = ras("infoRequestResponse", rasAddress=address(endpoint(GATEKEEPER)))
    scenario.client(GATEKEEPER, f"{VIP}:1719").sends_datagram(answer).expect_forwarded(dst=f"{REALS[1]}:1719")
