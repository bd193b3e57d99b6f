"""Encrypted sessions through a whole director: whom the range of passive ports is open to, and until when."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar

import pytest

from nat_lb.testing.conformance import Dialogue, HelperConformance, client_connects, client_says, server_says
from nat_lb.testing.helper_play import SCHEDULER, Variation, registry_with
from nat_lb.testing.packets import ACK, FIN, RST, SYN
from nat_lb.testing.scenario import Scenario

VIP, FIRST, SECOND = "203.0.113.100", "10.77.0.11", "10.77.0.12"
ALICE, BOB = "203.0.113.10", "203.0.113.11"
TOML = f"""\
[[service]]
name = "files"
protocol = "tcp"
address = "{VIP}"
port = 21
scheduler = "{SCHEDULER}"
helpers = ["ftp"]
real_server = [{{ address = "{FIRST}" }}, {{ address = "{SECOND}" }}]
"""
RANGES = f"""\
[service.helper_options.ftp.passive_ports]
"{FIRST}" = "50000-50099"
"{SECOND}" = "50100-50199"
"""
HELLO = b"\x16\x03\x01\x00\x05\x01\n\x02\r\n"


class Control:
    """A control connection whose client has been given a real server; what is said on it is in step."""

    def __init__(self, scenario: Scenario, client: str, real: str) -> None:
        self.scenario = scenario
        self.client = scenario.client(client, f"{VIP}:21")
        self.server = scenario.server(f"{real}:21", client)
        self.sent = {self.client: 1001, self.server: 5001}
        self.client.sends(SYN, seq=1000).expect_forwarded(dst=f"{real}:21")
        self.server.sends(SYN | ACK, seq=5000, ack=1001).expect_forwarded(src=f"{VIP}:21")
        self.say(self.client, b"")

    def say(self, who: object, data: bytes, flags: int = ACK) -> None:
        sender, reader = (self.client, self.server) if who is self.client else (self.server, self.client)
        sender.sends(flags, data, seq=self.sent[sender], ack=self.sent[reader])
        self.sent[sender] += len(data)

    def encrypt(self) -> Control:
        self.say(self.client, b"AUTH TLS\r\n")
        self.say(self.server, b"234 Proceed.\r\n")
        return self


def reaches(scenario: Scenario, client: str, port: int, real: str | None) -> None:
    """Expect a client to reach a real server at a port of the VIP, or nobody."""
    syn = scenario.client(client, f"{VIP}:{port}").sends(SYN)
    if real is None:
        syn.expect_reset("no-service")
    else:
        syn.expect_forwarded(dst=f"{real}:{port}")


@pytest.fixture
def scenario() -> Scenario:
    return Scenario(TOML + RANGES, registry_with())


def test_range_is_open_from_the_answer_to_auth_on(scenario: Scenario) -> None:
    control = Control(scenario, f"{ALICE}:40000", FIRST)
    control.say(control.client, b"AUTH TLS\r\n")
    reaches(scenario, f"{ALICE}:41000", 50000, None)
    control.say(control.server, b"234 Proceed.\r\n")
    for port in (50000, 50001, 50099):
        reaches(scenario, f"{ALICE}:{port - 9000}", port, FIRST)
    reaches(scenario, f"{ALICE}:42000", 50000, FIRST)  # any number of them


def test_range_is_open_to_its_own_client_and_to_nothing_else(scenario: Scenario) -> None:
    Control(scenario, f"{ALICE}:40000", FIRST).encrypt()
    reaches(scenario, f"{BOB}:41000", 50000, None)
    for port in (49999, 50100, 80):
        reaches(scenario, f"{ALICE}:41000", port, None)


def test_two_sessions_of_one_client_reach_each_its_own_real_server(scenario: Scenario) -> None:
    Control(scenario, f"{ALICE}:40000", FIRST).encrypt()
    Control(scenario, f"{ALICE}:40001", SECOND).encrypt()
    reaches(scenario, f"{ALICE}:41000", 50050, FIRST)
    reaches(scenario, f"{ALICE}:41001", 50150, SECOND)


def test_range_closes_with_the_control_connection(scenario: Scenario) -> None:
    control = Control(scenario, f"{ALICE}:40000", FIRST).encrypt()
    other = Control(scenario, f"{ALICE}:40001", SECOND).encrypt()
    for who in control.client, control.server:
        control.say(who, b"", FIN | ACK)
    other.say(other.client, b"", RST)
    scenario.time(121)
    reaches(scenario, f"{ALICE}:41000", 50000, None)
    reaches(scenario, f"{ALICE}:41000", 50100, None)


def test_running_transfer_keeps_its_control_connection_and_the_range(scenario: Scenario) -> None:
    Control(scenario, f"{ALICE}:40000", FIRST).encrypt()
    data = scenario.client(f"{ALICE}:41000", f"{VIP}:50000")
    back = scenario.server(f"{FIRST}:50000", f"{ALICE}:41000")
    data.sends(SYN, seq=1).expect_forwarded(dst=f"{FIRST}:50000")
    back.sends(SYN | ACK, seq=1, ack=2).expect_forwarded(src=f"{VIP}:50000")
    data.sends(ACK, seq=2, ack=2).expect_forwarded(dst=f"{FIRST}:50000")
    for _ in range(10):  # a silent control connection is forgotten after 900 seconds
        scenario.time(300)
        data.sends(ACK, b"x", seq=2, ack=2).expect_forwarded(dst=f"{FIRST}:50000")
    reaches(scenario, f"{ALICE}:41001", 50001, FIRST)


def test_session_that_begins_with_encryption_opens_the_range(scenario: Scenario) -> None:
    control = Control(scenario, f"{ALICE}:40000", FIRST)
    control.say(control.client, HELLO[:1])
    control.say(control.client, HELLO[1:])
    reaches(scenario, f"{ALICE}:41000", 50000, None)
    control.say(control.server, HELLO)
    reaches(scenario, f"{ALICE}:41000", 50000, FIRST)


@contextmanager
def counted(scenario: Scenario, kind: str) -> Iterator[None]:
    refused = scenario.director.lifecycle.expectations.counts["ftp"].refused
    before = refused[kind]
    yield
    assert refused[kind] == before + 1


def test_encryption_without_a_range_is_logged_and_counted_once(caplog: pytest.LogCaptureFixture) -> None:
    scenario = Scenario(TOML, registry_with())
    with caplog.at_level(logging.WARNING, "nat_lb.helpers"), counted(scenario, "encrypted"):
        control = Control(scenario, f"{ALICE}:40000", FIRST).encrypt()
        control.say(control.client, HELLO)
    assert caplog.messages == [
        f"ftp: files {ALICE}:40000 - encrypted, and passive_ports has no range for {FIRST}: "
        "passive data connections cannot be expected"
    ]
    reaches(scenario, f"{ALICE}:41000", 50000, None)


def test_bounce_attempt_is_logged_and_counted(caplog: pytest.LogCaptureFixture, scenario: Scenario) -> None:
    control = Control(scenario, f"{ALICE}:40000", FIRST)
    with caplog.at_level(logging.WARNING, "nat_lb.helpers"), counted(scenario, "bounce attempt"):
        control.say(control.client, b"PORT 198,51,100,7,15,160\r\n")
    assert caplog.messages == [
        f"ftp: files {ALICE}:40000 - PORT names 198.51.100.7:4000 but the client is {ALICE} (bounce attempt)"
    ]
    scenario.server(f"{FIRST}:20", "198.51.100.7:4000").sends(SYN).expect_untouched()  # no way is opened for it


class TestEncrypted(HelperConformance):
    helper = "ftp"
    options: ClassVar[dict[str, object]] = {"passive_ports": {FIRST: "50000-50099", SECOND: "50100-50199"}}
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "explicit": Dialogue(
            server_says(b"220 ready\r\n"),
            client_says(b"AUTH SSL\r\n"),
            server_says(b"504 AUTH SSL not understood\r\n"),
            client_says(b"AUTH TLS\r\n"),
            server_says(b"234 Proceed.\r\n"),
            client_says(HELLO),
            server_says(HELLO * 3),
            client_connects(f"{VIP}:50000", reaches=f"{FIRST}:50000"),
            client_connects(f"{VIP}:50099", reaches=f"{FIRST}:50099"),
            client_says(b"\x17\x03\x03\x00\x0fPORT 1,2,3,4,5,6\r\n"),
            left_over=1,
        ),
        "implicit": Dialogue(
            client_says(HELLO),
            server_says(HELLO * 2),
            client_connects(f"{VIP}:50007", reaches=f"{FIRST}:50007"),
            left_over=1,
        ),
    }

    @pytest.mark.parametrize("name", dialogues)
    @pytest.mark.parametrize("seed", range(12))
    def test_dialogues_survive_loss_reordering_and_retransmission(self, name: str, seed: int) -> None:  # type: ignore[override]
        """Of chosen seeds only.

        Once the helper has left, a late copy of the first SYN opens a closing connection anew, as it does where
        there is no helper, and the search finds one sooner or later.
        """
        self.replay(name, Variation(seed=seed, loss=0.1, duplicate=0.1, reorder=0.3, mss=88, sack=bool(seed % 2)))


class TestForeignClients(HelperConformance):
    helper = "ftp"
    options: ClassVar[dict[str, object]] = {"foreign_clients": True}
    dialogues: ClassVar[dict[str, Dialogue]] = {
        "passive": Dialogue(
            client_says(b"PASV\r\n"),
            server_says(b"227 (10,77,0,11,4,210)\r\n", arrives=b"227 (203,0,113,100,4,210)\r\n"),
            client_connects(f"{VIP}:1234", reaches=f"{FIRST}:1234", client="198.51.100.7:0"),
            client_says(b"EPSV\r\n"),
            server_says(b"229 (|||1234|)\r\n"),
            client_connects(f"{VIP}:1234", reaches=f"{FIRST}:1234"),
        )
    }
