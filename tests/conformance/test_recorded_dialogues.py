"""Dialogues that were recorded on both sides of the kernel's own NAT: the director makes of them what the kernel did.

The recordings lie beside the project's folder, not in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import pytest

from nat_lb.testing.conformance import Dialogue, HelperConformance, client_connects

CAPTURES = Path(__file__).parents[3] / "shared" / "captures"

if not CAPTURES.is_dir():
    pytest.skip(f"the recordings are not there: {CAPTURES}", allow_module_level=True)


def transfers(dialogue: Dialogue, *ports: int) -> Dialogue:
    """Put in the data connections, which were not captured."""
    for port in ports:
        step = client_connects(f"203.0.113.100:{port}", reaches=f"10.77.0.11:{port}")
        dialogue = dialogue.then(b",%d,%d)." % divmod(port, 256), step)
    return dialogue


class TestRecordedFtp(HelperConformance):
    helper = "ftp"
    dialogues: ClassVar[Mapping[str, Dialogue]] = {
        "three transfers of vsftpd": transfers(
            Dialogue.from_captures(
                CAPTURES / "ftp-pasv-kernelnat-rs.pcap", CAPTURES / "ftp-pasv-kernelnat-client.pcap", 21
            ),
            144 * 256 + 100,
            128 * 256 + 79,
            26 * 256 + 190,
        )
    }
