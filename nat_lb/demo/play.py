"""The demo from beginning to end.

The law: it returns 0 if everything was shown and 1 if not, and says which in its last line.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from nat_lb.demo import acts, keeping, needs
from nat_lb.demo.judge import Finding, judge_shares, verdict
from nat_lb.demo.look import Played, look, read_all
from nat_lb.demo.scene import Scene, configuration, scene
from nat_lb.demo.stage import Stage
from nat_lb.errors import NatLbError
from nat_lb.testing.lab import capture

Interference = Callable[[Scene], None]


def perform(
    stage: Stage, *, requests: int = 30, keep: bool = False, before_acts: Interference = lambda _scene: None
) -> int:
    """Play the demo and return its exit code.

    Ctrl-C, SIGTERM and SIGHUP arrive as `KeyboardInterrupt`, after the lab is removed.
    `before_acts` is called when everything is up: tests break something there.
    """
    if lacking := needs.missing(configuration()):
        stage.missing(lacking)
        return _end(stage, [Finding("", "something is missing; nothing was built")])
    try:
        findings = _perform(stage, requests, keep, before_acts)
    except NatLbError as error:
        stage.trouble(str(error))
        findings = [Finding("", _in_one_line(str(error)))]
    except KeyboardInterrupt:
        stage.stopped()
        raise
    return _end(stage, findings)


def _perform(stage: Stage, requests: int, keep: bool, before_acts: Interference) -> list[Finding]:
    with contextlib.ExitStack() as stack:
        with stage.working("building the lab, starting the real servers and the director"):
            built = stack.enter_context(scene(keep=keep))
        before_acts(built)
        stage.plan(built)
        played, captures = _play(stage, built, requests)
        with stage.working("reading the captures"):
            wires = read_all(captures)
        findings = [_judge_requests(built, played), *look(stage, built, played, wires)]
        stage.findings(findings)
        if keep:
            stage.kept(built, keeping.enter(built), keeping.remove(built))
        return findings


def _play(stage: Stage, built: Scene, requests: int) -> tuple[Played, dict[str, Path]]:
    """Let the clients act while the packets of client and real servers are captured."""
    with contextlib.ExitStack() as stack:
        captures = {host.name: stack.enter_context(capture(host)) for host in (built.lab.client, *built.lab.servers)}
        answers = stage.watch_requests(built, requests, acts.requests(built, requests))
        answered = Counter(answer.server for answer in answers if answer.server)
        logged = acts.arrived(built, answered)
        stage.shares(built.webs, answers, logged)
        one_by_one = (acts.download(built, mode) for mode in acts.MODES)
        downloads = stage.watch_downloads(built, one_by_one, acts.digest(built.content))
        knocked = acts.knock(built)
    return Played(requests, answered, logged, downloads, knocked), captures


def _judge_requests(built: Scene, played: Played) -> Finding:
    weights = {web.name: web.weight for web in built.webs}
    return judge_shares(played.requests, weights, played.answered, played.logged)


def _in_one_line(text: str) -> str:
    """What is wrong, and of a log that follows it the last line, which says why."""
    lines = [line for line in text.splitlines() if line.strip()]
    return " ".join([lines[0], lines[-1].strip()] if len(lines) > 1 else lines)


def _end(stage: Stage, findings: Sequence[Finding]) -> int:
    stage.verdict(verdict(findings))
    return 1 if any(finding.problem for finding in findings) else 0
