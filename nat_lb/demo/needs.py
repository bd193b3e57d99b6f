"""What the demo needs of the machine, and how to get it.

The law: everything that is missing is told at once, before anything is built.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable

from nat_lb.config import Config
from nat_lb.plugins import Registry
from nat_lb.testing.lab.namespaces import SEARCH_PATH

# Program, and Debian's package of it.
PROGRAMS = {
    "curl": "curl",
    "ethtool": "ethtool",
    "ip": "iproute2",
    "iptables": "iptables",
    "nginx": "nginx-light",
    "nsenter": "util-linux",
    "ss": "iproute2",
    "sysctl": "procps",
    "tshark": "tshark",
    "vsftpd": "vsftpd",
}
NOT_LINUX = "The lab needs Linux: it is made of network namespaces."
NOT_ROOT = (
    "Not root: network namespaces cannot be made. Run it as root, or run `make demo` in a checkout, which needs no"
    " root where user namespaces are allowed."
)


def missing(
    config: Config,
    *,
    find: Callable[[str], str | None] = lambda program: shutil.which(program, path=SEARCH_PATH),
    is_root: bool | None = None,
    registry: Registry | None = None,
) -> list[str]:
    """Return a line for each thing that the demo needs and this machine lacks, with the remedy in it.

    `find`, `is_root` and `registry` stand in for the machine in tests.
    """
    if not sys.platform.startswith("linux"):
        return [NOT_LINUX]
    lines = [] if (os.geteuid() == 0 if is_root is None else is_root) else [NOT_ROOT]
    return lines + _programs(find) + _plugins(config, registry or Registry())


def _programs(find: Callable[[str], str | None]) -> list[str]:
    absent = [program for program in PROGRAMS if find(program) is None]
    packages = sorted({PROGRAMS[program] for program in absent})
    command = f"apt-get install --no-install-recommends {' '.join(packages)}"
    return [f"Not installed: {', '.join(absent)}. Debian has them: {command}"] if absent else []


def _plugins(config: Config, registry: Registry) -> list[str]:
    wanted = {("scheduler", service.scheduler) for service in config.services}
    wanted |= {("helper", name) for service in config.services for name in service.helpers}
    offered = {"scheduler": set(registry.schedulers), "helper": set(registry.helpers)}
    return [
        f'The {kind} "{name}" is not installed. Run: pip install nat-lb-{name}'
        for kind, name in sorted(wanted)
        if name not in offered[kind]
    ]
