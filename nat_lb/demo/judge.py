"""Acts and captures to findings, findings to the verdict.

The law: a finding is a problem or what was shown; one problem and the verdict is FAIL.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from nat_lb.demo.acts import MODES, Download, digest
from nat_lb.demo.dialogue import Exchange, Line
from nat_lb.demo.wire import Endpoint, Segment


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at: `shown` if it is as it must be, else the `problem`."""

    shown: str
    problem: str = ""


def share_of(requests: int, weight: int, total: int) -> range:
    """Return the numbers of requests that a real server may get: its share, or one more within a broken cycle."""
    return range(requests * weight // total, -(-requests * weight // total) + 1)


def judge_shares(
    requests: int, weights: Mapping[str, int], answered: Mapping[str, int], logged: Mapping[str, int]
) -> Finding:
    """Judge how many requests each real server got, by the answers and by the servers' own logs."""
    total = sum(weights.values())
    problems = []
    for name, weight in weights.items():
        wanted = share_of(requests, weight, total)
        if answered.get(name, 0) not in wanted or logged.get(name, 0) not in wanted:
            told = f"{answered.get(name, 0)} answers, {logged.get(name, 0)} requests in its log"
            problems.append(f"{name}: {told}, expected {wanted[0]}")
    if lost := requests - sum(answered.values()):
        problems.insert(0, f"{lost} of {requests} requests got no answer")
    counts = ":".join(str(logged.get(name, 0)) for name in weights)
    ratio = ":".join(map(str, weights.values()))
    return Finding(f"{requests} requests shared {counts} by weights {ratio}", "; ".join(problems))


def judge_downloads(content: bytes, downloads: Sequence[Download], dialogues: Sequence[Sequence[Line]]) -> Finding:
    """Judge that every download is the file, and that its control connection used its own mode and no other."""
    problems = []
    for number, one in enumerate(downloads):
        problem = _of_file(one, content) or _of_mode(one.mode.verb, dialogues[number : number + 1])
        if problem:
            problems.append(f"FTP {one.mode.verb}: {problem}")
    modes = ", ".join(one.mode.verb for one in downloads)
    return Finding(f"FTP downloads identical in {modes}", "; ".join(problems))


def _of_file(one: Download, content: bytes) -> str:
    if one.error:
        return one.error
    return "" if one.digest == digest(content) else f"{one.size} octets arrived that are not the file"


def _of_mode(verb: str, dialogues: Sequence[Sequence[Line]]) -> str:
    """What is wrong with the verbs that the client sent: a client may fall back to another mode and say nothing."""
    sent = {line.text.partition(" ")[0].upper() for lines in dialogues for line in lines if line.by_client}
    if verb not in sent:
        return f"no {verb} in the capture"
    others = sorted(sent & {mode.verb for mode in MODES} - {verb})
    return f"the client also sent {', '.join(others)}" if others else ""


def judge_other_port(answered: bool, at_client: Iterable[Segment], port: Endpoint) -> Finding:
    """Judge that a connection to a port that no service has was refused, with a reset from the VIP."""
    flags = [segment.flags for segment in at_client if segment.source == port]
    reset = flags != [] and all("R" in flag for flag in flags)
    found = "somebody answered" if answered else "no reset came"
    return Finding(f"port {port.port} refused", "" if reset and not answered else f"port {port.port}: {found}")


def judge_addresses(
    client: str, virtual: str, addresses: Iterable[tuple[str, str]], dialogues: Iterable[Iterable[Line]], inside: str
) -> Finding:
    """Judge that the client exchanged packets with the VIP alone and no line of FTP showed it an inside address.

    `inside` is how the inside addresses begin. IPv6 is not spoken in the demo: a host's own housekeeping there, to
    and from multicast and link-local addresses, says nothing of the director.
    """
    pairs = [pair for pair in addresses if not any(one.startswith(("ff0", "fe80:", "::")) for one in pair)]
    remote = {address for pair in pairs for address in pair} - {client, virtual}
    problems = [f"the client saw packets of {address}" for address in sorted(remote)]
    marks = inside, inside.replace(".", ",")
    leaks = [line.text for lines in dialogues for line in lines if any(mark in line.text for mark in marks)]
    problems += [f"the client saw an inside address in FTP: {leak}" for leak in leaks]
    return Finding(f"client saw only {virtual}", "; ".join(problems))


def judge_rewriting(lines: Iterable[Exchange], virtual: str, real: str) -> Finding:
    """Judge that the 227 reply named the real server where it was sent and the VIP where it arrived."""
    inside, outside = ((address.replace(".", ",") + ",") for address in (real, virtual))
    for line in lines:
        if line.at_client.startswith("227 ") and not line.by_client:
            if inside in line.at_server and outside in line.at_client:
                return Finding("the 227 reply rewritten")
            return Finding("", f'the 227 reply is "{line.at_client}", sent as "{line.at_server}"')
    return Finding("", "no 227 reply came")


def judge_checksums(bad: Mapping[str, Sequence[str]]) -> Finding:
    """Judge what tshark said of each capture: a line for each packet with a bad checksum."""
    problems = [
        f"bad checksums at {host}: {len(lines)}, first packet {lines[0]}" for host, lines in bad.items() if lines
    ]
    return Finding("no bad checksum", "; ".join(problems))


def verdict(findings: Iterable[Finding]) -> str:
    """Return the last line: `demo: PASS - what was shown` or `demo: FAIL - what is wrong`."""
    every = list(findings)
    problems = [finding.problem for finding in every if finding.problem]
    if problems:
        return f"demo: FAIL - {'; '.join(problems)}"
    return f"demo: PASS - {', '.join(finding.shown for finding in every)}"
