"""The lab keeps its promises, without a director: everybody reaches the real servers by routing, and nothing stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.inet6 import ICMPv6EchoRequest, IPv6
from scapy.packet import Packet
from scapy.utils import wrpcap

from nat_lb.testing.lab import Host, Lab, LabError, capture, check_with_tshark, remove_lab, remove_leftovers, wait_until
from nat_lb.testing.lab.namespaces import namespaces
from nat_lb.testing.servers import Dnsmasq, Nginx, Pyftpdlib, Vsftpd

FTP_MODES = {
    "EPSV": ["--ftp-pasv"],
    "PASV": ["--ftp-pasv", "--disable-epsv"],
    "EPRT": ["--ftp-port", "-"],
    "PORT": ["--ftp-port", "-", "--disable-eprt"],
}


def urls(host: Host, scheme: str, path: str = "") -> list[str]:
    return [f"{scheme}://{host.v4}/{path}", f"{scheme}://[{host.v6}]/{path}"]


def namespaces_of(name: str) -> list[str]:
    return [namespace for namespace in namespaces() if namespace.startswith(f"{name}-")]


def closing(host: Host) -> str:
    """Return the connections that are not yet closed on both sides."""
    states = [word for state in ("established", "fin-wait-1", "fin-wait-2") for word in ("state", state)]
    return host.run(["ss", "-H", "--tcp", "--numeric", *states], check=True).stdout


def test_addresses_are_those_of_the_example(shared_lab: Lab) -> None:
    assert shared_lab.vip == "202.103.106.5"
    assert [host.v4 for host in shared_lab.hosts] == ["202.100.1.2", "202.100.1.1", "172.16.0.2", "172.16.0.3"]
    assert "202.103.106.5" in shared_lab.director.run(["ip", "-4", "address", "show", "lo"]).stdout


def test_client_reaches_both_web_servers_over_both_families(shared_lab: Lab) -> None:
    first, second = shared_lab.servers
    with Nginx(first), Nginx(second, name="the other"):
        pages = [
            shared_lab.client.run(["curl", "-sS", url]).stdout for host in (first, second) for url in urls(host, "http")
        ]
    assert pages == ["server1\n", "server1\n", "the other\n", "the other\n"]


def test_nginx_logs_the_address_it_saw(shared_lab: Lab) -> None:
    server = shared_lab.servers[0]
    with Nginx(server, 8000) as web:
        (web.root / "page").write_text("content")
        assert shared_lab.client.run(["curl", "-sS", f"http://{server.v4}:8000/page"]).stdout == "content"
        assert web.requests(expected=1) == ['202.100.1.2 172.16.0.2 8000 200 "GET /page HTTP/1.1"']


def test_stopped_server_refuses_connections(shared_lab: Lab) -> None:
    with Nginx(shared_lab.servers[0]) as web:
        web.stop()
        assert shared_lab.client.run(["curl", "-sS", urls(shared_lab.servers[0], "http")[0]]).returncode == 7


@pytest.mark.parametrize("mode", FTP_MODES)
@pytest.mark.parametrize("kind", [Vsftpd, Pyftpdlib])
def test_ftp_download_is_identical_in_every_mode(shared_lab: Lab, kind: type[Vsftpd | Pyftpdlib], mode: str) -> None:
    content = "0123456789abcde\n" * 20_000
    with kind(shared_lab.servers[0]) as ftp:
        (ftp.root / "file").write_text(content)
        for url in urls(shared_lab.servers[0], "ftp", "file"):
            got = shared_lab.client.run(["curl", "-sS", "--max-time", "30", *FTP_MODES[mode], url], check=True)
            assert got.stdout == content


@pytest.mark.parametrize("kind", [Vsftpd, Pyftpdlib])
def test_ftp_upload_needs_a_writable_server(shared_lab: Lab, kind: type[Vsftpd | Pyftpdlib], tmp_path: Path) -> None:
    file = tmp_path / "upload"
    file.write_text("sent by the client")
    command: list[str | Path] = ["curl", "-sS", "-T", file, urls(shared_lab.servers[0], "ftp", "there")[0]]
    with kind(shared_lab.servers[0]):
        assert shared_lab.client.run(command).returncode == 25
    with kind(shared_lab.servers[0], writable=True) as ftp:
        shared_lab.client.run(command, check=True)
        assert (ftp.root / "there").read_text() == "sent by the client"


def test_lftp_lists_a_folder_in_both_modes(shared_lab: Lab) -> None:
    with Vsftpd(shared_lab.servers[0]) as ftp:
        (ftp.root / "file").write_text("x")
        for passive in ("on", "off"):
            script = f"set ftp:passive-mode {passive}; open ftp://{shared_lab.servers[0].v4}; cls"
            assert shared_lab.client.run(["lftp", "-c", script], check=True).stdout == "file\n"
        assert "FTP command" in ftp.log()


def test_ftp_over_tls_is_offered_on_demand(shared_lab: Lab) -> None:
    with Pyftpdlib(shared_lab.servers[0], tls=True, user="ann", password="secret") as ftp:
        (ftp.root / "file").write_text("over TLS")
        command = ["curl", "-sS", "--insecure", "--ssl-reqd", "--user", "ann:secret"]
        for url in urls(shared_lab.servers[0], "ftp", "file"):
            assert shared_lab.client.run([*command, url], check=True).stdout == "over TLS"


@pytest.mark.parametrize("transport", ["+notcp", "+tcp"])
def test_dns_answer_tells_the_server(shared_lab: Lab, transport: str) -> None:
    for server in shared_lab.servers:
        with Dnsmasq(server):
            for at in (server.v4, server.v6):
                dig = ["dig", "+short", "+tries=1", transport, f"@{at}", "who.test"]
                assert shared_lab.client.run([*dig, "A"], check=True).stdout.strip() == server.v4
                assert shared_lab.client.run([*dig, "AAAA"], check=True).stdout.strip() == server.v6


def test_server_at_a_taken_port_is_an_error(shared_lab: Lab) -> None:
    with Nginx(shared_lab.servers[0]), pytest.raises(LabError, match="server1: port 80 is taken"):
        Pyftpdlib(shared_lab.servers[0], 80).__enter__()


def test_server_that_cannot_start_says_why(shared_lab: Lab) -> None:
    wanted = r"(?s)server1: nginx exited 1\. It wrote: .*unexpected"
    with pytest.raises(LabError, match=wanted), Nginx(shared_lab.servers[0], name='"'):
        pass


def test_namespaces_have_no_way_out(shared_lab: Lab) -> None:
    for host in shared_lab.hosts:
        devices = {line.split()[0] for line in host.run(["ip", "-brief", "link"], check=True).stdout.splitlines()}
        assert {device.partition("@")[0] for device in devices} <= {"lo", "eth0", "outside", "inside"}


def test_second_client_reaches_the_same_server(lab: Lab) -> None:
    second = lab.add_client()
    with Nginx(lab.servers[1]) as web:
        for client in lab.clients:
            client.run(["curl", "-sS", urls(lab.servers[1], "http")[0]], check=True)
        assert [line.split()[0] for line in web.requests(expected=2)] == ["202.100.1.2", "202.100.1.3"]
    assert second.v6 == "2001:db8:100::3"


def test_capture_is_complete_and_its_checksums_are_right(shared_lab: Lab) -> None:
    server = shared_lab.servers[0]
    hosts = [shared_lab.client, shared_lab.director, server]
    with Nginx(server) as web, capture(hosts[0]) as first, capture(hosts[1]) as second, capture(hosts[2]) as third:
        (web.root / "big").write_bytes(os.urandom(300_000))
        for url in urls(server, "http", "big"):
            shared_lab.client.run(["curl", "-sS", "-o", "/dev/null", url], check=True)
        wait_until(lambda: not closing(shared_lab.client), what="both connections' ends")
    for pcap in (first, second, third):
        assert check_with_tshark(pcap) == []
        seen = subprocess.run(["tshark", "-n", "-r", pcap, "-Y", "tcp.flags.fin == 1"], capture_output=True, text=True)
        assert len(seen.stdout.splitlines()) >= 4, "both connections' ends are in the file"


def test_capture_with_a_cut_packet_is_an_error(lab: Lab) -> None:
    lab.client.run(["ip", "link", "set", "eth0", "mtu", "9000"], check=True)
    send = "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(bytes(5000), ('202.100.1.1', 9))"
    with (
        pytest.raises(LabError, match="client: the capture on eth0 is not complete: dropped 0 cut 1"),
        capture(lab.client, device="eth0"),
    ):
        lab.client.python(send, check=True)


@pytest.mark.parametrize(
    "packet",
    [
        IP(src="192.0.2.1", dst="192.0.2.2", chksum=0x1234) / UDP(sport=1, dport=2),
        IP(src="192.0.2.1", dst="192.0.2.2") / TCP(sport=1, dport=2, chksum=0x1234),
        IP(src="192.0.2.1", dst="192.0.2.2") / UDP(sport=1, dport=2, chksum=0x1234) / b"payload",
        IP(src="192.0.2.1", dst="192.0.2.2") / ICMP(chksum=0x1234),
        IPv6(src="2001:db8::1", dst="2001:db8::2") / TCP(sport=1, dport=2, chksum=0x1234),
        IPv6(src="2001:db8::1", dst="2001:db8::2") / ICMPv6EchoRequest(cksum=0x1234),
    ],
    ids=["ip", "tcp", "udp", "icmp", "tcp6", "icmp6"],
)
def test_bad_checksum_is_found_by_tshark(packet: Packet, tmp_path: Path) -> None:
    good = IP(src="192.0.2.1", dst="192.0.2.2") / TCP(sport=1, dport=2)
    wrpcap(str(tmp_path / "one.pcap"), [good, packet], linktype=101)
    [finding] = check_with_tshark(tmp_path / "one.pcap")
    assert finding.startswith("2 ")


def test_two_labs_do_not_see_each_other() -> None:
    with Lab() as one, Lab() as other, Nginx(one.servers[0], name="one"), Nginx(other.servers[0], name="other"):
        pages = [lab.client.run(["curl", "-sS", urls(lab.servers[0], "http")[0]]).stdout for lab in (one, other)]
    assert pages == ["one\n", "other\n"]


def test_nothing_remains_after_the_lab() -> None:
    with Lab() as lab:
        child = lab.client.spawn(["sleep", "600"])
        strayed = lab.client.run(["sh", "-c", "setsid sleep 600 >/dev/null 2>&1 & echo $!"], check=True).stdout.strip()
        assert len(namespaces_of(lab.name)) == 5
    assert namespaces_of(lab.name) == []
    assert not lab.directory.exists()
    assert child.poll() is not None
    assert not Path("/proc", strayed, "exe").exists()


def test_nothing_remains_after_an_exception() -> None:
    lab = Lab()
    with pytest.raises(ZeroDivisionError), lab:
        raise ZeroDivisionError
    assert namespaces_of(lab.name) == []
    assert not lab.directory.exists()


def test_nothing_remains_when_building_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Lab) -> Host:
        raise OSError("out of memory")

    monkeypatch.setattr(Lab, "add_server", fail)
    lab = Lab()
    with pytest.raises(OSError, match="out of memory"):
        lab.__enter__()
    assert namespaces_of(lab.name) == []


SLEEPER = """
import sys, time
from nat_lb.testing.lab import Lab
with Lab() as lab:
    lab.client.spawn(["sleep", "600"])
    print(lab.name, flush=True)
    time.sleep(600)
"""


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda how: how.name)
def test_nothing_remains_after_a_signal(how: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert namespaces_of(name)
        child.send_signal(how)
        assert child.wait(60) != 0
    assert namespaces_of(name) == []


def test_leftovers_of_a_killed_lab_are_removed_by_the_next() -> None:
    with subprocess.Popen([sys.executable, "-c", SLEEPER], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        name = child.stdout.readline().strip()
        assert not set(namespaces_of(name)) & set(remove_leftovers()), "a living process's lab is no leftover"
        child.kill()
        child.wait(60)
    folders = Path(tempfile.gettempdir())
    assert len(namespaces_of(name)) == 5
    assert list(folders.glob(f"{name}-*"))
    with Lab():
        assert namespaces_of(name) == []
        assert not list(folders.glob(f"{name}-*"))


def test_kept_lab_is_removed_by_its_name() -> None:
    name = f"kept-{os.getpid()}"
    with Lab(name=name, keep=True) as lab:
        lab.client.spawn(["sleep", "600"])
    try:
        assert len(namespaces_of(name)) == 5
    finally:
        assert len(remove_lab(name)) == 5
    assert namespaces_of(name) == []


def test_failed_command_says_what_it_wrote(shared_lab: Lab) -> None:
    with pytest.raises(LabError, match=r"client: ls /nowhere exited 2 and said: .*No such file"):
        shared_lab.client.run(["ls", "/nowhere"], check=True)


def test_command_past_its_time_is_killed(shared_lab: Lab) -> None:
    with pytest.raises(subprocess.TimeoutExpired):
        shared_lab.client.run(["sh", "-c", "sleep 600; true"], timeout=0.2)
    processes = ["ip", "netns", "pids", shared_lab.client.namespace]  # `ip` itself runs there
    wait_until(
        lambda: len(shared_lab.client.run(processes, check=True).stdout.split()) == 1, what="the end of the rest"
    )


def test_waiting_in_vain_names_what_for() -> None:
    with pytest.raises(LabError, match=r"waited 0\.1 s in vain for Godot"):
        wait_until(lambda: False, 0.1, "Godot")
