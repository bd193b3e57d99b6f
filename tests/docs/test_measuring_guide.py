"""docs/how-to/write-a-scheduler-that-measures.md: its probe measures, its scheduler reads, its test passes."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from nat_lb.plugins import Registry
from nat_lb.testing.conformance import SchedulerConformance
from nat_lb.testing.packets import SYN
from nat_lb.testing.scenario import Scenario

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "how-to" / "write-a-scheduler-that-measures.md").read_text()
SOURCES = DOCS / "examples" / "nat-lb-least-response-time" / "src"
MODULE = "nat_lb_least_response_time"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


def run(block: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "guide"}
    exec(compile(block, "guide", "exec"), names)
    return names


class Answer(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass


def test_probe_measures_a_server_that_answers_and_one_that_does_not(tmp_path: Path) -> None:
    probe, file = run(blocks("python")[0]), tmp_path / "response-times"
    with HTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        alive = f"127.0.0.1:{server.server_port}"
        probe["write"](file, [alive, "127.0.0.1:1"])
        server.shutdown()
    answered, silent = (line.split() for line in file.read_text().splitlines())
    assert (answered[0], silent) == (alive, ["127.0.0.1:1", "5.000000"])
    assert 0 < float(answered[1]) < 5
    assert [path.name for path in tmp_path.iterdir()] == ["response-times"]


@pytest.mark.parametrize("block", blocks("python")[1:3])
def test_code_on_the_page_is_that_of_the_example(block: str) -> None:
    assert block in (SOURCES / MODULE / "__init__.py").read_text()


def test_configuration_on_the_page_sends_clients_to_the_quicker_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(SOURCES))
    monkeypatch.chdir(tmp_path)
    Path("response-times").write_text("172.16.0.2:80 0.300\n172.16.0.3:80 0.100\n")
    entries = [EntryPoint("least-response-time", MODULE, "nat_lb"), EntryPoint("wlc", "nat_lb_wlc", "nat_lb")]
    s = Scenario(blocks("toml")[0], Registry(found=entries))
    s.client("202.100.1.2:1024").sends(SYN).expect_forwarded(dst="172.16.0.3:80")
    s.client("202.100.1.2:1025").sends(SYN).expect_forwarded(dst="172.16.0.3:80")
    (service,) = s.director.lifecycle.services
    assert service.fallback.budget == 0.002


def test_test_on_the_page_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(SOURCES))
    run(blocks("python")[3])["test_quicker_server_gets_most_connections"](tmp_path)


def test_suite_on_the_page_is_the_one_that_the_example_passes() -> None:
    suite = run(blocks("python")[4])["TestLeastResponseTime"]
    test = (SOURCES.parent / "tests" / "test_conformance.py").read_text()
    assert issubclass(suite, SchedulerConformance)
    assert f'scheduler = "{suite.scheduler}"' in test
    assert f'"file": "{suite.options["file"]}"' in test
    assert "claims = (FAIR_BY_WEIGHT,)" in test
