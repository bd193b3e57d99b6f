"""Plugins that fail, in every hook and every method: one packet is affected, one line a minute is logged."""

from __future__ import annotations

import logging

import pytest

from nat_lb.errors import ConfigError
from nat_lb.segment import Segment
from nat_lb.testing.packets import ACK, PSH, SYN
from nat_lb.testing.scenario import Scenario
from tests.little_plugins import Shelf
from tests.scenario.nets import IPV4

WEB = IPV4.service("web", 80, f"{IPV4.one}:80 1", f"{IPV4.two}:80 1")
ANNOUNCING = {
    "nat_lb_connection_opened": "connection",
    "nat_lb_connection_state_changed": "connection, old_state, new_state",
    "nat_lb_connection_closed": "connection, reason",
    "nat_lb_service_changed": "service, change",
    "nat_lb_real_server_changed": "service, real_server, reason",
}


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the fault log."""
    return [record.getMessage() for record in caplog.records if record.name == "nat_lb.faults"]


def raising(hook: str, arguments: str) -> str:
    return f"@hookimpl\ndef {hook}({arguments}):\n    raise RuntimeError('out of luck')\n"


@pytest.mark.parametrize("hook", sorted(ANNOUNCING))
def test_announcing_hook_that_raises_costs_nothing_but_the_announcement(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, hook: str
) -> None:
    shelf.install("bad", raising(hook, ANNOUNCING[hook]))
    s = Scenario(WEB, shelf.registry())
    for port in range(3000, 3010):
        s.client(f"{IPV4.client}:{port}").sends(SYN)
    s.reload(WEB.replace("weight = 1", "weight = 2"))
    assert len(s.connections) == 10
    s.time(61)
    assert s.connections == []
    lines = faults(caplog)
    assert len(lines) == (
        2 if hook == "nat_lb_service_changed" else 1
    )  # the start is more than a minute before the reload
    assert all(line.startswith(f"acme-bad: {hook} failed for ") for line in lines)
    assert all(line.endswith(": RuntimeError: out of luck") for line in lines)


def test_fault_is_logged_once_a_minute_with_the_number_that_were_missed(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.install("bad", raising("nat_lb_connection_opened", "connection"))
    s = Scenario(WEB, shelf.registry())
    for second in range(121):
        s.client(f"{IPV4.client}:{3000 + second}").sends(SYN)
        s.time(1)
    lines = faults(caplog)
    assert len(lines) == 3
    assert [line.partition("luck")[2] for line in lines] == ["", *[" (59 more since the last report)"] * 2]
    assert s.director.lifecycle.faults.counts == {("acme-bad", "nat_lb_connection_opened"): 121}


def test_schedule_hook_that_raises_drops_that_first_packet_only(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.install(
        "picky",
        """
        @hookimpl
        def nat_lb_schedule(service, flow):
            if flow.source.port == 3001:
                raise LookupError("not this one")
        """,
    )
    s = Scenario(WEB, shelf.registry())
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:80")
    s.client(f"{IPV4.client}:3001").sends(SYN).expect_dropped("plugin-fault")
    s.client(f"{IPV4.client}:3002").sends(SYN).expect_forwarded(dst=f"{IPV4.two}:80")
    assert faults(caplog) == ["acme-picky: nat_lb_schedule failed for web: LookupError: not this one"]


SCHEDULER = """
class Moody(Scheduler):
    name = "moody"
    calls = 0
    {body}

@hookimpl
def nat_lb_register_schedulers():
    return [Moody]
"""
MOODY = WEB.replace('name = "web"', 'name = "web"\nscheduler = "moody"')


def test_scheduler_that_raises_drops_that_first_packet_only(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    body = """
    def schedule(self, flow):
        Moody.calls += 1
        if Moody.calls == 2:
            raise ZeroDivisionError("no weight")
        return self.service.real_servers[0]
    """
    shelf.install("moody", SCHEDULER.replace("    {body}\n", body))
    s = Scenario(MOODY, shelf.registry())
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:80")
    s.client(f"{IPV4.client}:3001").sends(SYN).expect_dropped("plugin-fault")
    s.client(f"{IPV4.client}:3001").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:80")
    assert faults(caplog) == ["acme-moody: nat_lb_schedule failed for web: ZeroDivisionError: no weight"]


@pytest.mark.parametrize("answer", ["'172.16.0.2'", "42", "RealServer(self.service.real_servers[0].endpoint)"])
def test_scheduler_that_answers_what_is_no_server_of_the_service_drops_the_packet(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, answer: str
) -> None:
    body = f"\n    def schedule(self, flow):\n        return {answer}\n"
    shelf.install("moody", SCHEDULER.replace("    {body}\n", body))
    s = Scenario(MOODY, shelf.registry())
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_dropped("plugin-fault")
    (line,) = faults(caplog)
    assert 'which is no real server of "web" (its scheduler is Moody of acme-moody)' in line


def test_scheduler_with_neither_plan_nor_schedule_drops_packets_and_says_so(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.install("moody", SCHEDULER.replace("    {body}\n", ""))
    s = Scenario(MOODY, shelf.registry())
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_dropped("plugin-fault")
    assert 'scheduler "moody" has neither a plan nor a schedule() of its own' in faults(caplog)[0]


@pytest.mark.parametrize(
    "body",
    [
        "\n    def __init__(self, service, options=None):\n        raise OSError('no socket')\n",
        "\n    def plan(self):\n        raise OSError('no socket')\n",
        "\n    def changed(self):\n        raise OSError('no socket')\n",
    ],
    ids=["__init__", "plan", "changed"],
)
def test_scheduler_that_cannot_be_made_is_an_error_of_the_configuration(shelf: Shelf, body: str) -> None:
    shelf.install("moody", SCHEDULER.replace("    {body}\n", body))
    with pytest.raises(ConfigError) as caught:
        Scenario(MOODY, shelf.registry())
    assert str(caught.value) == (
        'scenario.toml: service "web": scheduler "moody" (acme-moody) cannot be used: OSError: no socket'
    )


@pytest.mark.parametrize("method", ["plan", "changed"])
def test_scheduler_that_fails_at_a_change_is_logged_and_the_reload_is_whole(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    body = f"""
    def {method}(self):
        Moody.calls += 1
        if Moody.calls == 3:
            raise OSError("no socket")

    def schedule(self, flow):
        return self.service.real_servers[-1]
    """
    shelf.install("moody", SCHEDULER.replace("    {body}\n", body))
    s = Scenario(MOODY, shelf.registry())
    s.reload(MOODY.replace("weight = 1", "weight = 2") + IPV4.dns)
    assert faults(caplog) == ["acme-moody: moody.changed failed for web: OSError: no socket"]
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_forwarded(dst=f"{IPV4.two}:80")
    s.client(f"{IPV4.client}:3000", f"{IPV4.vip}:53").sends_datagram(b"x").expect_forwarded(dst=f"{IPV4.one}:5353")


def test_check_hook_that_raises_is_an_objection_that_names_the_plugin(shelf: Shelf) -> None:
    shelf.install("bad", raising("nat_lb_check_config", "config"))
    with pytest.raises(ConfigError) as caught:
        Scenario(WEB, shelf.registry())
    assert caught.value.problems == (
        "scenario.toml: nat_lb_check_config of acme-bad failed: RuntimeError: out of luck",
    )


HELPER = """
class Clumsy(Helper):
    name = "clumsy"
    {body}
    def rewrite(self, message):
        return ()

@hookimpl
def nat_lb_register_helpers():
    return [Clumsy]
"""
METHODS = {
    "__init__": ("self, peers, options=None", "nat_lb_bind_helper"),
    "frame": ("self, data, direction", "clumsy.frame"),
    "holds": ("self, tail, direction", "clumsy.holds"),
    "rewrite": ("self, message", "clumsy.rewrite"),
}


@pytest.mark.parametrize("method", sorted(METHODS))
def test_helper_method_that_raises_lets_every_octet_pass_in_order(
    shelf: Shelf, caplog: pytest.LogCaptureFixture, method: str
) -> None:
    arguments, place = METHODS[method]
    if method == "rewrite":
        source = HELPER.replace("{body}", "").replace("return ()", "raise KeyError('gone')")
    else:
        source = HELPER.replace("{body}", f"def {method}({arguments}):\n        raise KeyError('gone')\n")
    shelf.install("clumsy", source)
    s = Scenario(WEB.replace('name = "web"', 'name = "web"\nhelpers = ["clumsy"]'), shelf.registry())
    client, server = s.client(f"{IPV4.client}:3000"), s.server(f"{IPV4.one}:80", f"{IPV4.client}:3000")
    client.sends(SYN, seq=100).expect_forwarded(dst=server.own)
    server.sends(SYN | ACK, seq=500, ack=101).expect_forwarded(src=client.other)
    sent = received = b""
    for text in b"220 hello\r\n", b"part of a ", b"line\r\n", b"bye\r\n":
        packet = server.sends(ACK | PSH, text, seq=501 + len(sent), ack=101).expect_forwarded(src=client.other).packet
        sent += text
        received += Segment(packet).payload
    assert received == sent
    (line,) = faults(caplog)
    assert line.startswith(f"acme-clumsy: {place} failed for ")
    assert "KeyError: 'gone'" in line


def test_bind_hook_that_answers_no_helper_lets_the_connection_do_without(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    shelf.install("clumsy", HELPER.replace("{body}", ""))
    shelf.install("bad", "@hookimpl\ndef nat_lb_bind_helper(connection):\n    return 'clumsy'\n")
    s = Scenario(WEB.replace('name = "web"', 'name = "web"\nhelpers = ["clumsy"]'), shelf.registry())
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_forwarded(dst=f"{IPV4.one}:80")
    assert "nat_lb_bind_helper must return a Helper, found 'clumsy'" in faults(caplog)[0]


def test_fault_inside_the_core_that_a_plugin_provoked_is_the_plugins(
    shelf: Shelf, caplog: pytest.LogCaptureFixture
) -> None:
    body = "\n    def schedule(self, flow):\n        return Cycle([None]).choose(flow)\n"
    shelf.install("moody", SCHEDULER.replace("    {body}\n", body))
    s = Scenario(MOODY, shelf.registry())
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_dropped("plugin-fault")
    assert faults(caplog)[0].startswith("acme-moody: nat_lb_schedule failed for web: AttributeError")


def test_fault_of_the_core_itself_drops_the_packet_and_is_called_the_cores(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    s = Scenario(WEB)
    monkeypatch.setattr(s.director.lifecycle, "open", None)
    s.client(f"{IPV4.client}:3000").sends(SYN).expect_dropped("plugin-fault")
    assert faults(caplog)[0].startswith("nat-lb: pipeline failed for one packet: TypeError")
    assert caplog.records[-1].exc_info is not None


def test_operator_sees_which_log_level_a_fault_has(shelf: Shelf, caplog: pytest.LogCaptureFixture) -> None:
    shelf.install("bad", raising("nat_lb_connection_opened", "connection"))
    Scenario(WEB, shelf.registry()).client(f"{IPV4.client}:3000").sends(SYN)
    assert [record.levelno for record in caplog.records if record.name == "nat_lb.faults"] == [logging.ERROR]
