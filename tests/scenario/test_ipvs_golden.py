"""The recordings of a running IPVS: the same packets in, the same packets out and the same states.

What is left out of the comparison of packets: the time to live, which the kernel lowers after us, and the IP
identification of packets of the director's own.  Where we differ on purpose, `DIFFERENT` says why.
The recorded schedules are in test_scheduler_golden.py.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest

from nat_lb.packet import lower_hops
from nat_lb.testing import packets
from nat_lb.testing.packets import ACK, FIN, RST, SYN
from nat_lb.testing.scenario import Scenario
from nat_lb.trackers import Tcp
from nat_lb.verdict import NotForwarded

GOLDEN = Path(__file__).parents[3] / "shared" / "ipvs-golden"
pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason=f"no recordings in {GOLDEN}")

CLIENT, VIP, A, B = "10.1.0.2", "10.1.0.100", "10.2.0.11", "10.2.0.12"


def recorded(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text()) if GOLDEN.exists() else {}


def service(port: int, *servers: str, protocol: str = "tcp", more: str = "") -> str:
    text = f'[[service]]\nprotocol = "{protocol}"\naddress = "{VIP}"\nport = {port}\n{more}\n'
    for server in servers:
        where, weight = server.split()
        address, _, real_port = where.partition(":")
        text += f'[[service.real_server]]\naddress = "{address}"\nport = {real_port}\nweight = {weight}\n'
    return text


# --- tcp_states.json -------------------------------------------------------------------------------------------------

SEGMENTS = {"is": SYN, "ia": ACK, "if": FIN | ACK, "ir": RST, "os": SYN | ACK, "oa": ACK, "of": FIN | ACK, "or": RST}
GROUP_OF_SECONDS = {  # which of our timeout settings IPVS's seconds stand for, by state
    "SYN_SENT": ("syn", 120), "SYN_RECV": ("syn", 60), "ESTABLISHED": ("established", 900), "FIN_WAIT": ("fin", 120),
    "TIME_WAIT": ("fin", 120), "CLOSE_WAIT": ("fin", 60), "CLOSE": ("close", 10),
}  # fmt: skip
OURS = {"syn": 61, "established": 901, "fin": 62, "close": 9}  # all different, so that a group is told by its seconds
STATES = recorded("tcp_states.json")


@pytest.mark.parametrize("sequence", sorted(STATES))
def test_each_recorded_sequence_leads_to_its_state_and_timeout_group(sequence: str) -> None:
    timeouts = "".join(f"{group} = {seconds}\n" for group, seconds in OURS.items())
    s = Scenario(f"[timeouts]\n{timeouts}" + service(80, f"{A}:80 1"))
    client, server = s.client(f"{CLIENT}:3000"), s.server(f"{A}:80", f"{CLIENT}:3000")
    for step in sequence.split():
        (client if step[0] == "i" else server).sends(SEGMENTS[step])
    state, seconds_left = STATES[sequence]
    connection = s.connection(client.own)
    group, seconds = GROUP_OF_SECONDS[state]
    assert connection.state_name == state
    assert seconds - 1 <= seconds_left <= seconds
    assert connection.deadline - s.now == OURS[group]


def test_every_timeout_group_of_tcp_has_its_states() -> None:
    for state, (group, _) in GROUP_OF_SECONDS.items():
        assert state in Tcp.groups.get(group, (group.upper(),))


# --- packets.json ----------------------------------------------------------------------------------------------------

DIFFERENT = {
    "tcp reply from rs without conn": "IPVS forwards it as it is, which shows the server's address: we drop it",
    "nat_icmp_send=1: udp from rs without conn": "our refusal comes from the address that the server wrote to, not from"
    " an address of the director, and quotes the datagram as it came, not after a router lowered its hops",
    "icmp echo request to vip": "left to the director's own stack, which answers it",
    "sctp COOKIE_ECHO": "SCTP is no protocol of ours: it is left to the director's own stack",
    "sctp SHUTDOWN": "SCTP is no protocol of ours: it is left to the director's own stack",
    "sctp state after each chunk": "SCTP is no protocol of ours",
}
PACKETS = {case["case"]: case for case in recorded("packets.json") or []}


@pytest.fixture(scope="module")
def director() -> Scenario:
    """The recording's services, and its connections: packets of one case are those of the next one's connection."""
    toml = service(80, f"{A}:8080 1") + service(53, f"{B}:5353 1", protocol="udp") + service(81)
    s = Scenario(toml)
    s.client(f"{CLIENT}:40001", f"{VIP}:80").sends(SYN)
    return s


def whole(pieces: list[str]) -> bytes:
    """Put the fragments of one IPv4 packet together as the kernel does."""
    parts = sorted(
        (bytes.fromhex(piece) for piece in pieces), key=lambda part: struct.unpack_from("!H", part, 6)[0] & 0x1FFF
    )
    packet = bytearray(parts[0] + b"".join(part[20:] for part in parts[1:]))
    struct.pack_into("!HHH", packet, 2, len(packet), struct.unpack_from("!H", packet, 4)[0], 0)
    return packets.with_hops(bytes(packet), packet[8])


def as_sent(answer: bytes) -> bytes:
    """Return a packet of the director's own without its identification and header checksum."""
    return answer[:4] + b"\0\0" + answer[6:10] + b"\0\0" + answer[12:]


@pytest.mark.parametrize("case", sorted(PACKETS.keys() - DIFFERENT.keys()))
def test_each_recorded_packet_gets_the_recorded_answer(director: Scenario, case: str) -> None:
    packet, out = PACKETS[case]["pkt_in"], PACKETS[case]["out"]
    sent = bytes.fromhex(packet) if isinstance(packet, str) else whole(packet)
    verdict = director.process(sent).verdict
    if isinstance(verdict, NotForwarded):
        assert [as_sent(answer) for answer in verdict.packets] == [as_sent(bytes.fromhex(o["pkt"])) for o in out]
        assert {o["ns"] for o in out} <= {PACKETS[case]["in_ns"]}
        return
    forwarded = bytearray(verdict)
    lower_hops(forwarded)
    wanted = bytes.fromhex(out[0]["pkt"]) if len(out) == 1 else whole([o["pkt"] for o in out])
    assert bytes(forwarded).hex() == wanted.hex()


def test_every_documented_difference_is_still_in_the_recording() -> None:
    assert DIFFERENT.keys() <= PACKETS.keys()


def test_reply_without_connection_is_dropped_and_not_leaked(director: Scenario) -> None:
    director.process(bytes.fromhex(PACKETS["tcp reply from rs without conn"]["pkt_in"])).expect_dropped(
        "reply-without-connection"
    )


def test_rejected_reply_differs_from_nat_icmp_send_only_in_source_and_hops() -> None:
    case = PACKETS["nat_icmp_send=1: udp from rs without conn"]
    s = Scenario('[director]\norphan_replies = "reject"\n' + service(53, f"{B}:5353 1", protocol="udp"))
    sent, theirs = bytes.fromhex(case["pkt_in"]), bytes.fromhex(case["out"][0]["pkt"])
    ours = s.process(sent).expect_icmp(3, 3).answer
    assert ours[16:20] == theirs[16:20]
    assert ours[12:16] == sent[16:20]
    lowered = bytearray(sent)
    lower_hops(lowered)
    assert (ours[20:28], ours[28:]) == (theirs[20:22] + ours[22:24] + theirs[24:28], sent)
    assert theirs[28:] == lowered


@pytest.mark.parametrize("case", ["icmp echo request to vip", "sctp COOKIE_ECHO", "sctp SHUTDOWN"])
def test_what_is_none_of_our_business_passes_as_it_is(director: Scenario, case: str) -> None:
    director.process(bytes.fromhex(PACKETS[case]["pkt_in"])).expect_untouched()
