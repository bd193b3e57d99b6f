"""Command lines for a lab that stays up: how to enter it and how to remove it.

The law: what is printed works when it is pasted into a shell of the user who ran the demo.
"""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from nat_lb.demo.scene import FILE, Scene
from nat_lb.testing.lab.namespaces import SEARCH_PATH


def enter(scene: Scene) -> list[str]:
    """Return commands to try: a request, a download, the director's rules, a shell at the client."""
    vip = scene.lab.vip
    rules = shutil.which("iptables-save", path=SEARCH_PATH) or "iptables-save"  # a user's PATH may not have it
    client, director = _into(scene, scene.lab.client.namespace), _into(scene, scene.lab.director.namespace)
    return [
        f"{client} curl http://{vip}/",
        f"{client} curl --silent --no-ftp-skip-pasv-ip ftp://{vip}/{FILE} | sha256sum",
        f"{director} {rules}",
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
    """What comes first in a shell outside this user namespace, where its names and mounts are not to be seen."""
    if _shares_user_namespace(os.getppid()):
        return ""
    return f"nsenter --target {scene.director.process.pid} --user --mount --preserve-credentials -- "


def _shares_user_namespace(pid: int) -> bool:
    """Tell whether the process that started this one is in the same user namespace: a shell to come then is, too."""
    try:
        return Path(f"/proc/{pid}/ns/user").samefile("/proc/self/ns/user")
    except OSError:
        return False  # not to be seen from here, so not here


def _program() -> str:
    called = Path(sys.argv[0]).absolute()  # entering a mount namespace changes the working directory
    command = [str(called)] if called.name == "nat-lb" else [sys.executable, "-m", "nat_lb"]
    return shlex.join(command)
