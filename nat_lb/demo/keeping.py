"""Command lines for a lab that stays up: how to enter it and how to remove it.

The law: what is printed works when it is pasted into a shell of the user who ran the demo.
"""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

from nat_lb.demo.scene import FILE, Scene

WHOLE_MACHINE = 2**32 - 1
"""The number of user ids in the first user namespace."""


def enter(scene: Scene) -> list[str]:
    """Return commands to try: a request, a download, the director's rules, a shell at the client."""
    vip = scene.lab.vip
    client, director = _into(scene, scene.lab.client.namespace), _into(scene, scene.lab.director.namespace)
    return [
        f"{client} curl http://{vip}/",
        f"{client} curl --silent --no-ftp-skip-pasv-ip ftp://{vip}/{FILE} | sha256sum",
        f"{director} iptables-save",
        f"{client} bash",
    ]


def remove(scene: Scene) -> str:
    """Return the command that removes it all."""
    return f"{_outside(scene)}{_program()} demo --remove {scene.lab.name}"


def _into(scene: Scene, namespace: str) -> str:
    # Where /sys may not be mounted, as in a user namespace in a container, `ip netns exec` does not work.
    ip_works = scene.lab.client.run(["ip", "netns", "exec", namespace, "true"]).returncode == 0
    how = f"ip netns exec {namespace}" if ip_works else f"nsenter --net=/run/netns/{namespace} --"
    return f"{_outside(scene)}{how}"


def _outside(scene: Scene) -> str:
    """From outside a user namespace its names are not there: enter it through a process of the lab."""
    if _ids() == WHOLE_MACHINE:
        return ""
    return f"nsenter --target {scene.director.process.pid} --user --mount --preserve-credentials -- "


def _ids() -> int:
    return sum(int(line.split()[2]) for line in Path("/proc/self/uid_map").read_text().splitlines())


def _program() -> str:
    called = Path(sys.argv[0]).absolute()  # entering a mount namespace changes the working directory
    command = [str(called)] if called.name == "nat-lb" else [sys.executable, "-m", "nat_lb"]
    return shlex.join(command)
