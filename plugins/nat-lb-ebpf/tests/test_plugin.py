"""A director with the kernel for its fast path: what it publishes, hands over, finds, hears of, and leaves behind."""

from __future__ import annotations

import logging
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from nat_lb.api import Cycle, FastPath, Happening, SystemFault
from nat_lb.testing.helper_play import SCHEDULER, registry_with
from nat_lb.testing.packets import ACK, FIN, SYN, udp
from nat_lb.testing.scenario import Scenario
from nat_lb_ebpf import nat_lb_make_fastpath, tcx
from nat_lb_ebpf.devices import ethernet_devices, xdp_program
from nat_lb_ebpf.plugin import Ebpf, pins_of_this_namespace

from .duel import Ground
from .nets import IPV4, NETS, Net

pytestmark = pytest.mark.live
SMALL = "[director]\nmax_connections = 500\n"


def web(net: Net, more: str = "") -> str:
    text = net.service(f"{net.one}:80", f"{net.two}:80").replace('"planned"', f'"{SCHEDULER}"')
    return SMALL + text.replace("port = 80\nscheduler", f"port = 80\n{more}scheduler")


class Running:
    """A director whose fast path is the kernel's; another may follow it in the same namespace."""

    def __init__(self, toml: str) -> None:
        self.s = Scenario(toml, registry_with())
        self.path = Ebpf(self.s.director.config)
        self.adopted = self.s.director.lifecycle.start_offload(self.path, self.s.now)

    def opens(self, net: Net, port: int = 3000) -> str:
        """Let a client's first packet come to Python; return where it goes."""
        outcome = self.s.client(f"{net.client}:{port}", f"{net.vip}:80").sends(SYN)
        return str(outcome.expect_forwarded(dst=f"{net.one}:80") and net.one)


@pytest.fixture
def running(ground: Ground) -> Iterator[type[Running]]:
    """The class, and nothing left of its directors afterwards."""
    made: list[Running] = []

    class Kept(Running):
        def __init__(self, toml: str) -> None:
            super().__init__(toml)
            made.append(self)

    yield Kept
    if made:
        made[-1].path.remove()
    assert not pins_of_this_namespace().exists()


@pytest.mark.parametrize("net", NETS, ids=["ipv4", "ipv6"])
def test_connection_that_python_decided_about_is_carried_by_the_kernel(running: type[Running], net: Net) -> None:
    director = running(web(net, more="persistence = 60\n"))  # which is Python's to decide about
    director.opens(net)
    assert (len(director.s.connections), len(director.path)) == (0, 1)
    [carried] = director.path
    assert (str(carried.virtual), str(carried.real)) == (f"{net.vip}:80", f"{net.one}:80")
    assert director.path.find(carried.key) == carried
    (service,) = director.s.director.lifecycle.services
    assert carried.service == service.key
    client = director.s.client(f"{net.client}:3000", f"{net.vip}:80")
    client.sends(ACK).expect_forwarded(dst=f"{net.one}:80")  # as if it had come up
    [again] = director.path
    assert service.tracker.states[again.state] == "ESTABLISHED"
    director.path.close(carried.key)
    assert director.path.find(carried.key) is None


def test_load_there_counts_here(running: type[Running]) -> None:
    director = running(web(IPV4, more="persistence = 60\n"))
    director.opens(IPV4)
    (service,) = director.s.director.lifecycle.services
    offload = director.s.director.lifecycle.offload
    assert offload is not None
    offload.refresh(service)
    assert [(server.active, server.opened) for server in service.real_servers] == [(1, 1), (0, 0)]


def test_what_happens_in_the_kernel_is_told(running: type[Running], caplog: pytest.LogCaptureFixture) -> None:
    director = running(web(IPV4, more="persistence = 60\n").replace("[director]", "[director]\nlog_connections = true"))
    director.opens(IPV4)
    with caplog.at_level(logging.INFO, "nat_lb.events"):
        director.s.client(f"{IPV4.client}:3000", f"{IPV4.vip}:80").sends(FIN | ACK)
        [carried] = director.path
        director.path.close(carried.key)
        director.s.time(1)
    assert [line.rsplit(" - ")[-1] for line in caplog.messages] == ["SYN_RECV to TIME_WAIT", "closed: removed"]


def test_next_director_takes_over_what_the_last_one_left(running: type[Running]) -> None:
    first = running(web(IPV4, more="persistence = 60\n"))
    first.opens(IPV4)
    first.path.leave()
    second = running(web(IPV4, more="persistence = 60\n"))
    assert (second.adopted, len(second.path), len(second.s.director.lifecycle.persistence)) == (1, 1, 1)
    second.path.leave()
    third = running(SMALL + IPV4.service(f"{IPV4.two}:80").replace("planned", SCHEDULER))
    assert (third.adopted, len(third.path)) == (0, 0)  # nobody has that real server any more


def test_turn_goes_on_where_the_kernel_is(running: type[Running], ground: Ground) -> None:
    director = running(web(IPV4))
    (service,) = director.s.director.lifecycle.services
    assert service.scheduler is not None
    director.path._path.services._plans[director.path._path.services._services[0].plan].position = 1
    director.path.settle(service)
    plan = service.scheduler.present_plan
    assert isinstance(plan, Cycle)
    assert plan.position == 1
    director.s.director.lifecycle.publish()  # the same plan, so it is not begun again
    assert director.path._path.services.position(service) == 1
    director.path.leave()
    again = running(web(IPV4))
    (service,) = again.s.director.lifecycle.services
    assert again.path._path.services.position(service) == 1


def test_udp_is_carried_too(running: type[Running]) -> None:
    toml = web(IPV4, more="persistence = 60\n").replace('"tcp"', '"udp"')
    director = running(toml)
    director.s.process(udp(f"{IPV4.client}:3000", f"{IPV4.vip}:80", b"x")).expect_forwarded(dst=f"{IPV4.one}:80")
    assert len(director.path) == 1


def filters(ground: Ground, device: str) -> str:
    """Return the names of the TC programs on a device, be they filters or not."""
    shown = ground.lab.director.run(["tc", "filter", "show", "dev", device, "ingress"], check=True).stdout
    return shown + ("nat_lb_tc" if tcx.present(socket.if_nametoindex(device), "nat_lb_tc") else "")


def test_programs_are_on_every_ethernet_device_and_gone_after_removal(ground: Ground) -> None:
    director = Running(web(IPV4))
    assert all("nat_lb_tc" in filters(ground, device) for device in ("outside", "inside"))
    shown = {entry["device"] for entry in director.path.status()["devices"]}
    assert shown == ethernet_devices() == {"outside", "inside"}
    assert set(director.path.status()["counters"]) >= {"new_connections", "up_slow"}
    director.path.remove()
    assert [filters(ground, device) for device in ("outside", "inside")] == ["", ""]
    assert not pins_of_this_namespace().exists()


def test_devices_that_are_named_run_in_the_driver_too(ground: Ground) -> None:
    for end in (ground.lab.client, *ground.lab.servers):
        end.run(["ethtool", "-K", end.device, "gro", "on"], check=True)  # veth drivers take frames for those only
    director = Running(web(IPV4).replace("[director]", '[director]\nxdp = ["outside", "absent"]'))
    try:
        assert director.path.status()["devices"] == [
            {"device": "inside", "datapath": "tc", "why": "not in xdp of [director]"},
            {"device": "outside", "datapath": "xdp", "why": ""},
        ]
        assert xdp_program(socket.if_nametoindex("outside")) == "nat_lb_xdp"
        assert "nat_lb_tc" in filters(ground, "outside")
    finally:
        director.path.remove()
    assert xdp_program(socket.if_nametoindex("outside")) == ""


def test_events_are_only_of_what_is_wanted(running: type[Running]) -> None:
    director = running(web(IPV4, more="persistence = 60\n"))
    director.opens(IPV4)
    [carried] = director.path
    director.path.close(carried.key)
    assert [event.what for event in director.path.events()] == [Happening.CLOSED]  # persistence waits for it


def test_ordinary_user_is_told_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(SystemFault, match="Remedy: run nat-lb as root"):
        nat_lb_make_fastpath(Scenario(web(IPV4), registry_with()).director.config)


def test_it_is_all_that_a_fast_path_has_to_be() -> None:
    assert issubclass(Ebpf, FastPath)


def test_bpf_file_system_is_mounted_where_there_is_none() -> None:
    mounts = "import pathlib, nat_lb_ebpf.libbpf as it; it.mount_file_system(pathlib.Path('/sys/fs/bpf'))"
    script = 'umount /sys/fs/bpf; ! mountpoint -q /sys/fs/bpf && "$0" -c "$1" && mountpoint -q /sys/fs/bpf'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, sys.executable, mounts], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
