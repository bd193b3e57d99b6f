"""H.323 through the director, over real sockets: two called servers that use the same ports, two gatekeepers.

No terminal and no gatekeeper is to be had as a package, so both ends are moved from here, and what they say is encoded
by pycrate. tshark judges: every message that the client's side saw can be decoded, and none has an inside address.
The VIP has services at the ports that the servers announce, so that all of them are translated.
"""

from __future__ import annotations

import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from nat_lb.api import Endpoint
from nat_lb.testing.lab import Lab, RunningDirector, capture, check_with_tshark, wait_until
from nat_lb.testing.packets import endpoint
from nat_lb_h323.recorded import recorded
from nat_lb_h323.testing import acknowledge_channel, address, control, fast_start, open_channel, ras, signal
from tests.live.ground import IPV4, IPV6, Family, both_families, counted, joined, of_both, related, select
from tests.live.h323_ends import (
    Datagrams,
    End,
    FailedError,
    Listener,
    Stream,
    named,
    told,
    told_in_control,
    told_in_ras,
)

CALLS, RAS, H245, RTP, T120 = 1720, 1719, 2000, 6000, 1503
INSIDE = " || ".join(f"frame contains {octets}" for octets in ("ac:10:00:02", "ac:10:00:03", "fd:00:01:72:00:16"))
REFUSED = "h225.alerting_element"  # what is refused passes as it is, and only alertings are

pytestmark = pytest.mark.live


class Called(NamedTuple):
    """A server, with what it listens at."""

    end: End
    calls: Listener
    h245: Listener
    data: Listener
    rtp: Datagrams
    rtcp: Datagrams
    ras: Datagrams


class Ground(NamedTuple):
    lab: Lab
    director: RunningDirector
    client: Mapping[Family, End]
    servers: Mapping[Family, list[Called]]


class Call(NamedTuple):
    """A call that is set up: the client's side, and the server that got it."""

    client: Stream
    server: Called
    signalling: Stream


def services(family: Family) -> str:
    calls = family.service("calls", CALLS, ['scheduler = "rr"', 'helpers = ["h323"]'], servers="1:1720 2:1720")
    ras_lines = ['scheduler = "rr"', 'helpers = ["ras"]']
    gatekeepers = family.service("ras", RAS, ras_lines, servers="1:1719 2:1719", protocol="udp")
    taken = [family.service(f"taken{port}", port, servers="1:1") for port in (H245, T120)]
    return calls + gatekeepers + "".join(taken) + family.service("rtp", RTP, servers="1:1", protocol="udp")


@pytest.fixture(scope="module")
def ground(shared_lab: Lab) -> Iterator[Ground]:
    """All ends, and a director; every packet of the module is captured on all legs, and judged at its end."""
    with contextlib.ExitStack() as stack:
        director = shared_lab.start_director(of_both(services))
        stack.enter_context(judged(shared_lab))
        families = (IPV4, IPV6)
        clients = {family: End(shared_lab.client, family) for family in families}
        servers = {family: [called(End(host, family)) for host in shared_lab.servers] for family in families}
        yield Ground(shared_lab, director, clients, servers)
        for end in [*clients.values(), *(server.end for found in servers.values() for server in found)]:
            end.stop()


def called(end: End) -> Called:
    udp = [end.datagrams(port) for port in (RTP, RTP + 1, RAS)]
    return Called(end, end.listen(CALLS), end.listen(H245), end.listen(T120), *udp)


@contextlib.contextmanager
def judged(lab: Lab) -> Iterator[None]:
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(capture(host)) for host in (lab.client, *lab.servers)]
        yield
    assert check_with_tshark(joined(paths)) == []
    assert select(paths[0], f"({INSIDE}) && !{REFUSED}") == []
    assert len(select(paths[0], f"({INSIDE}) && {REFUSED}")) == 2
    outside, inside = (Counter(messages(pcap)) for pcap in (paths[0], joined(paths[1:])))
    assert [info for info in outside if "Malformed" in info] == []
    assert inside - outside == Counter()  # more are told outside: not every message that came in pieces is told
    assert outside.total() > 80


def messages(pcap: Path) -> list[str]:
    """Return what tshark says of every message of H.323, put together where it came in pieces."""
    shown = ["-Y", "h225 || h245", "-T", "fields", "-e", "_ws.col.Info"]
    no_pptp = ["--disable-protocol", "pptp"]  # whose port may be where calls are announced
    command = ["tshark", "-n", "-r", str(pcap), *no_pptp, *shown]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.splitlines()


def vip(family: Family, port: int) -> Endpoint:
    return endpoint(family.at(family.vip, port))


def set_up(ground: Ground, family: Family, **fields: Any) -> Call:
    """Call, and find out which server is called; its name for itself is all that differs in what it hears."""
    stream = ground.client[family].connect(vip(family, CALLS))
    stream.says(signal("setup", **named(destCallSignalAddress=vip(family, CALLS)), **fields))
    servers = ground.servers[family]
    wait_until(lambda: any(server.calls.is_called() for server in servers), 20.0, "a server that is called")
    server = next(server for server in servers if server.calls.is_called())
    signalling, source = server.calls.accept()
    assert source.address == ground.client[family].at(0).address
    here = named(destCallSignalAddress=server.end.at(CALLS))
    assert signalling.hears() == signal("setup", **here, **fields)
    return Call(stream, server, signalling)


def two_calls(ground: Ground, family: Family, **fields: Any) -> list[Call]:
    """Return two calls at once, to different servers."""
    calls = [set_up(ground, family, **fields) for _ in range(2)]
    assert calls[0].server is not calls[1].server
    return calls


def hang_up(*calls: Call) -> None:
    for call in calls:
        call.client.close()
        call.signalling.close()


def begin_h245(call: Call) -> tuple[Stream, Stream]:
    """Return both sides of the call's H.245 connection, at the endpoint that the Connect named."""
    call.signalling.says(signal("connect", **named(h245Address=call.server.end.at(H245))))
    where = told(call.client.hears())["h245Address"]
    assert where.address == vip(call.client.end.family, 0).address
    assert where.port != H245
    client = call.client.end.connect(where)
    server, source = call.server.h245.accept()
    assert source.address == client.end.at(0).address
    return client, server


def stream_both_ways(client: Datagrams, server: Datagrams, public: Endpoint, *, first: str) -> None:
    """Send both ways between the ports that were announced, one side first; each sees the other as announced."""
    there = client.end.at(0).address
    if first == "server":
        server.says(b"from server", Endpoint(there, client.port))
        assert client.hears() == (b"from server", public)
    client.says(b"to " + server.end.host.name.encode(), public)
    data, source = server.hears()
    assert (data, source) == (b"to " + server.end.host.name.encode(), Endpoint(there, client.port))
    server.says(b"back", source)
    assert client.hears() == (b"back", public)


@both_families
def test_two_calls_have_their_streams_at_the_server_that_was_called(ground: Ground, family: Family) -> None:
    calls = two_calls(ground, family)
    for number, call in enumerate(calls):
        client, server = begin_h245(call)
        ports = 7000 + 10 * number
        public = opened(client, server, ports)
        with client.end.datagrams(ports) as rtp, client.end.datagrams(ports + 1) as rtcp:
            stream_both_ways(rtp, call.server.rtp, public["mediaChannel"], first=["client", "server"][number])
            stream_both_ways(rtcp, call.server.rtcp, public["mediaControlChannel"], first=["server", "client"][number])
        of_the_call = listed(ground.director, family, call)
        assert [entry["protocol"] for entry in of_the_call] == ["tcp", "udp", "udp"]
        assert of_the_call[1]["announced_by"] == {key: of_the_call[0][key] for key in ("client", "virtual")}
    hang_up(*calls)


def listed(director: RunningDirector, family: Family, call: Call) -> list[dict[str, Any]]:
    """Return what `nat-lb connections` has of a call: what its signalling announced, and what that announced."""
    entries = [entry for protocol in ("tcp", "udp") for entry in related(director, f"calls{family.version}", protocol)]
    [h245] = [entry for entry in entries if entry["real"] == str(call.server.end.at(H245))]
    return [h245, *(entry for entry in entries if entry["announced_by"]["virtual"] == h245["virtual"])]


def opened(client: Stream, server: Stream, port: int) -> dict[str, Endpoint]:
    """Open a channel in each direction, the client's ports from this one; return where it can send to."""
    ours, theirs = client.end.at, server.end.at
    exchange(client, server, control(open_channel(1, rtcp=ours(port + 1))), unchanged=True)
    rtcp = exchange(server, client, control(open_channel(1, rtcp=theirs(RTP + 1))))["mediaControlChannel"]
    public = exchange(server, client, control(acknowledge_channel(1, rtp=theirs(RTP), rtcp=theirs(RTP + 1))))
    exchange(client, server, control(acknowledge_channel(1, rtp=ours(port), rtcp=ours(port + 1))), unchanged=True)
    assert public == {"mediaChannel": rtcp._replace(port=rtcp.port - 1), "mediaControlChannel": rtcp}
    assert (rtcp.port % 2, rtcp.port != RTP + 1) == (1, True)
    return public


def exchange(sender: Stream, reader: Stream, message: bytes, *, unchanged: bool = False) -> dict[str, Endpoint]:
    """Say something in H.245 and return the addresses that are heard; the length is always the same."""
    sender.says(message)
    heard = reader.hears()
    assert len(heard) == len(message)
    assert (heard == message) is unchanged
    return told_in_control(heard)


@both_families
def test_fast_start_streams_before_anything_else_is_said(ground: Ground, family: Family) -> None:
    ours = ground.client[family].at
    rtp = ground.client[family].datagrams(7100)
    proposal = fast_start(
        open_channel(1, rtcp=ours(7101)), open_channel(2, reverse=True, rtp=ours(7100), rtcp=ours(7101))
    )
    calls = two_calls(ground, family, fastStart=proposal)
    for call, first in zip(calls, ("server", "client"), strict=True):
        theirs = call.server.end.at
        answer = fast_start(
            open_channel(1, rtp=theirs(RTP), rtcp=theirs(RTP + 1)), open_channel(2, reverse=True, rtcp=theirs(RTP + 1))
        )
        call.signalling.says(signal("callProceeding", fastStart=answer))
        public = told(call.client.hears())
        assert public["mediaControlChannel"].port == public["mediaChannel"].port + 1
        stream_both_ways(rtp, call.server.rtp, public["mediaChannel"], first=first)
    hang_up(*calls)


@both_families
def test_tunnelled_h245_opens_t120_in_both_directions(ground: Ground, family: Family) -> None:
    calls = two_calls(ground, family)
    client_data = ground.client[family].listen(T120)
    for call in calls:
        call.signalling.says(signal("facility", [open_channel(1, t120=call.server.end.at(T120))]))
        public = told(call.client.hears())["localAreaAddress"]
        assert public.port != T120
        for _ in range(2):
            stream = ground.client[family].connect(public)
            accepted, _ = call.server.data.accept()
            accepted.says(b"\x03\x00\x00\x08data")
            assert stream.hears() == b"\x03\x00\x00\x08data"
        call.client.says(signal("facility", [acknowledge_channel(1, t120=ground.client[family].at(T120))]))
        call.signalling.hears()
        call.server.end.connect(ground.client[family].at(T120))
        assert client_data.accept()[1].address == vip(family, 0).address
    client_data.close()
    hang_up(*calls)


@pytest.mark.parametrize(
    "cuts", [(4,), (1, 2, 3), tuple(range(1, 60))], ids=["after header", "in header", "everywhere"]
)
def test_message_in_pieces_is_translated(ground: Ground, cuts: Sequence[int]) -> None:
    calls = two_calls(ground, IPV4)
    for call in calls:
        message = signal("connect", **named(h245Address=call.server.end.at(H245)))
        call.signalling.says(message, *cuts)
        public = told(call.client.hears())["h245Address"]
        client = ground.client[IPV4].connect(public)
        server, _ = call.server.h245.accept()
        server.says(control(acknowledge_channel(1, rtp=call.server.end.at(RTP))), *(cut for cut in cuts if cut < 20))
        assert str(told_in_control(client.hears())["mediaChannel"].address) == Lab.vip
    hang_up(*calls)


def test_recorded_call_of_real_terminals_is_translated(ground: Ground) -> None:
    calls = two_calls(ground, IPV4)
    for call in calls:
        client, server = ground.client[IPV4], call.server.end
        call.client.says(recorded("setup", caller=client.at(32803), called=vip(IPV4, CALLS)))
        assert call.signalling.hears() == recorded("setup", caller=client.at(32803), called=server.at(CALLS))
        call.signalling.says(recorded("connect", h245=server.at(H245)))
        outside = client.connect(told(call.client.hears())["h245Address"])
        inside, _ = call.server.h245.accept()
        ports = {"client_rtp": client.at(7000), "client_rtcp": client.at(7001)}
        ports |= {"rtp": server.at(RTP), "rtcp": server.at(RTP + 1)}
        exchange(outside, inside, recorded("client opens", **ports), unchanged=True)
        said = (recorded(message, **ports) for message in ("server opens", "server accepts"))
        public = [exchange(inside, outside, message)["mediaControlChannel"] for message in said]
        exchange(outside, inside, recorded("client accepts", **ports), unchanged=True)
        assert public[0] == public[1]
        with client.datagrams(7001) as rtcp:
            stream_both_ways(rtcp, call.server.rtcp, public[0], first="server")
    hang_up(*calls)


@both_families
def test_terminal_registers_and_calls_go_both_ways_with_its_gatekeeper(ground: Ground, family: Family) -> None:
    client = ground.client[family]
    incoming = client.listen(CALLS)
    for port in 1719, 1729:
        with client.datagrams(port) as socket:
            socket.says(ras("gatekeeperRequest", **named(rasAddress=client.at(port))), vip(family, RAS))
            wait_until(lambda: any(server.ras.is_sent_to() for server in ground.servers[family]), 20.0, "a gatekeeper")
            gatekeeper = next(server for server in ground.servers[family] if server.ras.is_sent_to())
            register(socket, gatekeeper)
            outgoing, public = admitted(socket, gatekeeper)
            outgoing.says(signal("setup", **named(destCallSignalAddress=public)))
            accepted, _ = gatekeeper.calls.accept()
            assert told(accepted.hears())["destCallSignalAddress"] == gatekeeper.end.at(CALLS)
            called_by(gatekeeper, incoming)
    incoming.close()


@both_families
def test_terminals_on_the_real_servers_register_and_are_called(ground: Ground, family: Family) -> None:
    """They speak first, and the gatekeeper outside knows them apart, behind one address."""
    client = ground.client[family]
    with client.datagrams(RAS) as gatekeeper:
        known = [registered(gatekeeper, terminal) for terminal in ground.servers[family]]
        assert len({where for where, _ in known}) == len({calls for _, calls in known}) == 2
        for terminal, (where, calls) in zip(ground.servers[family], known, strict=True):
            gatekeeper.says(ras("infoRequest", **named(replyAddress=client.at(RAS))), where)
            assert terminal.ras.hears() == (ras("infoRequest", **named(replyAddress=client.at(RAS))), client.at(RAS))
            calling = client.connect(calls)
            calling.says(signal("setup", **named(destCallSignalAddress=calls)))
            accepted, _ = terminal.calls.accept()
            assert told(accepted.hears())["destCallSignalAddress"] == terminal.end.at(CALLS)


def registered(gatekeeper: Datagrams, terminal: Called) -> tuple[Endpoint, Endpoint]:
    """Return where a terminal that registers is known to be: for RAS, and for calls."""
    places = {"rasAddress": terminal.end.at(RAS), "callSignalAddress": terminal.end.at(CALLS)}
    here = {name: [address(place)] for name, place in places.items()}
    terminal.ras.says(ras("registrationRequest", **here), gatekeeper.end.at(RAS))
    asked, source = gatekeeper.hears()
    known = told_in_ras(asked)
    assert known["rasAddress"] == source
    assert {place.address for place in known.values()} == {vip(terminal.end.family, RAS).address}
    gatekeeper.says(ras("registrationConfirm"), source)
    assert terminal.ras.hears() == (ras("registrationConfirm"), gatekeeper.end.at(RAS))
    return source, known["callSignalAddress"]


def register(socket: Datagrams, gatekeeper: Called) -> None:
    """Discover the gatekeeper, and register at it."""
    client, inside = socket.end, gatekeeper.end
    asked, source = gatekeeper.ras.hears()
    assert told_in_ras(asked)["rasAddress"] == source == client.at(socket.port)
    gatekeeper.ras.says(ras("gatekeeperConfirm", **named(rasAddress=inside.at(RAS))), source)
    answer, seen = socket.hears()
    assert told_in_ras(answer)["rasAddress"] == seen == vip(client.family, RAS)
    here = {"rasAddress": [address(source)], "callSignalAddress": [address(client.at(CALLS))]}
    socket.says(ras("registrationRequest", **here, timeToLive=60), seen)
    assert gatekeeper.ras.hears()[0] == ras("registrationRequest", **here, timeToLive=60)
    there = {"callSignalAddress": [address(inside.at(CALLS))]}
    gatekeeper.ras.says(ras("registrationConfirm", **there, timeToLive=60), source)
    assert str(told_in_ras(socket.hears()[0])["callSignalAddress"].address) == client.family.vip


def admitted(socket: Datagrams, gatekeeper: Called) -> tuple[Stream, Endpoint]:
    """Return a connection to where the gatekeeper wants a call to go, which is itself."""
    socket.says(ras("admissionRequest"), vip(socket.end.family, RAS))
    _, source = gatekeeper.ras.hears()
    confirmed = ras("admissionConfirm", **named(destCallSignalAddress=gatekeeper.end.at(CALLS)))
    gatekeeper.ras.says(confirmed, source)
    public = told_in_ras(socket.hears()[0])["destCallSignalAddress"]
    assert (str(public.address), public.port == CALLS) == (socket.end.family.vip, False)
    return socket.end.connect(public), public


def called_by(gatekeeper: Called, terminal: Listener) -> None:
    """Call a terminal that has registered, which then takes H.245 and streams to itself."""
    calling = gatekeeper.end.connect(terminal.end.at(CALLS))
    accepted, source = terminal.accept()
    assert str(source.address) == terminal.end.family.vip
    ends = named(sourceCallSignalAddress=gatekeeper.end.at(source.port), destCallSignalAddress=terminal.end.at(CALLS))
    calling.says(signal("setup", **ends))
    assert told(accepted.hears()) == {
        "sourceCallSignalAddress": source,
        "destCallSignalAddress": terminal.end.at(CALLS),
    }
    h245 = terminal.end.listen(2020)
    accepted.says(signal("connect", **named(h245Address=terminal.end.at(2020))))
    calling.hears()
    inside = gatekeeper.end.connect(terminal.end.at(2020))
    outside, source = h245.accept()
    assert str(source.address) == terminal.end.family.vip
    rtcp = exchange(inside, outside, control(open_channel(1, rtcp=gatekeeper.end.at(RTP + 1))))["mediaControlChannel"]
    with terminal.end.datagrams(2021) as ours:
        stream_both_ways(ours, gatekeeper.rtcp, rtcp, first="client")
    h245.close()


@both_families
def test_call_that_is_forwarded_to_the_other_real_server_goes_to_the_service(ground: Ground, family: Family) -> None:
    calls = two_calls(ground, family)
    for call, other in zip(calls, reversed(calls), strict=True):
        forwarded = signal("facility", **named(alternativeAddress=other.server.end.at(CALLS)))
        call.signalling.says(forwarded)
        assert told(call.client.hears()) == {"alternativeAddress": vip(family, CALLS)}
    hang_up(*calls, *two_calls(ground, family))


def test_announcements_of_others_open_nothing_and_are_logged(ground: Ground) -> None:
    calls = two_calls(ground, IPV4)
    call, other = calls[0], calls[1].server.end
    for wrong, kind, why in (
        (
            other.at(H245),
            "foreign address",
            f"{other.at(H245)} is not the real server's, which is {call.server.end.address}",
        ),
        (call.server.end.at(22), "privileged port", f"{call.server.end.at(22)} for H.245 is below port 1024"),
    ):
        before = counted(ground.director, "h323")["refused"]
        call.signalling.says(signal("alerting", **named(h245Address=wrong)))
        assert told(call.client.hears())["h245Address"] == wrong
        ground.director.wait_for(f"h245Address of alerting: {why}")
        assert counted(ground.director, "h323")["refused"] == before | {kind: before.get(kind, 0) + 1}
        with pytest.raises(FailedError, match="ConnectionRefusedError"):
            ground.client[IPV4].connect(vip(IPV4, wrong.port + 1))
    hang_up(*calls)
