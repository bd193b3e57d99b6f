"""The core's own plugin: its answers come last, through the hooks that anybody else uses."""

from __future__ import annotations

from nat_lb import core
from nat_lb.testing.packets import ACK, PSH, SYN
from nat_lb.testing.scenario import Scenario
from nat_lb.trackers import Tcp, Udp
from tests.little_plugins import Shelf
from tests.scenario.nets import IPV4
from tests.scenario.talk import PLUGIN


def test_core_registers_tcp_and_udp() -> None:
    assert list(core.nat_lb_register_trackers()) == [Tcp, Udp]


def test_service_without_scheduler_has_no_choice() -> None:
    s = Scenario(IPV4.web)
    (service,) = s.director.lifecycle.services
    service.scheduler = None
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_icmp(3, 3, "no-real-server")


def test_first_helper_of_the_list_is_bound(shelf: Shelf) -> None:
    shelf.install("talk", PLUGIN)
    shelf.install("mute", PLUGIN.replace('"talk"', '"mute"').replace('b"AT"', 'b"at"'))
    for helpers, rewrites in (('["talk", "mute"]', True), ('["mute", "talk"]', False), ("[]", False)):
        toml = IPV4.service("talk", 7000, f"{IPV4.one}:7000 1", more=f"helpers = {helpers}")
        s = Scenario(toml, shelf.registry())
        client, server = s.client(f"{IPV4.client}:3000"), s.server(f"{IPV4.one}:7000", f"{IPV4.client}:3000")
        client.sends(SYN, seq=1)
        out = server.sends(ACK | PSH, f"AT {IPV4.one}:9000\n".encode(), seq=1, ack=2).packet
        assert out.endswith(f"AT {IPV4.vip}:9000\n".encode()) is rewrites
