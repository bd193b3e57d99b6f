"""Python and C agree about what the maps hold; the compiler is asked."""

from __future__ import annotations

import ctypes as c
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from nat_lb_ebpf import layout
from nat_lb_ebpf.kernel import OBJECTS

STRUCTURES = {
    "bucket": layout.Bucket, "connection": layout.Connection, "binding": layout.Binding, "server": layout.Server,
    "traffic": layout.Traffic, "service_key": layout.ServiceKey, "service": layout.Service, "tracker": layout.Tracker,
    "plan": layout.Plan, "settings": layout.Settings, "allocator": layout.Allocator, "event": layout.Event,
    "control": layout.Control, "trunk": layout.Trunk,
}  # fmt: skip
ENUMS = (
    layout.Flag, layout.PlanKind, layout.PlanFlag, layout.EventKind, layout.CloseReason, layout.Counter,
    layout.Operation,
)  # fmt: skip


def compile_c(source: str, *flags: str) -> subprocess.CompletedProcess[str]:
    clang = shutil.which("clang")
    assert clang, "apt-get install clang libbpf-dev"
    include = Path("/usr/include", sysconfig.get_config_var("MULTIARCH") or "")
    command = [clang, "-target", "bpf", "-fsyntax-only", f"-I{include}", f"-I{OBJECTS}", *flags, "-x", "c", "-"]
    return subprocess.run(command, input=source, capture_output=True, text=True, check=False)


def asserts(name: str, structure: type[c.Structure]) -> str:
    lines = [f'_Static_assert(sizeof(struct {name}) == {c.sizeof(structure)}, "{name}");']
    for field, *_ in structure._fields_:
        offset = getattr(structure, field).offset
        lines.append(f'_Static_assert(__builtin_offsetof(struct {name}, {field}) == {offset}, "{name}.{field}");')
    return "\n".join(lines)


@pytest.mark.parametrize("name", STRUCTURES)
def test_structure_has_the_size_and_offsets_of_its_namesake(name: str) -> None:
    done = compile_c('#include "structs.h"\n' + asserts(name, STRUCTURES[name]))
    assert not done.returncode, done.stderr


def test_compiler_objects_to_an_offset_that_is_wrong() -> None:
    done = compile_c('#include "structs.h"\n_Static_assert(sizeof(struct bucket) == 7, "bucket");')
    assert done.returncode
    assert "bucket" in done.stderr


@pytest.mark.parametrize("enum", ENUMS, ids=lambda enum: str(enum.__name__))
def test_constants_have_the_values_of_their_namesakes(enum: type[layout.Flag]) -> None:
    lines = [f'_Static_assert({member.name} == {member.value}, "{member.name}");' for member in enum]
    done = compile_c('#include "structs.h"\n' + "\n".join(lines))
    assert not done.returncode, done.stderr


def test_limits_of_a_tracker_are_those_of_the_structures() -> None:
    limits = f'_Static_assert(STATES == {layout.STATES} && EVENTS == {layout.EVENTS} && DIRECTIONS == 2, "limits");'
    assert not compile_c('#include "structs.h"\n' + limits).returncode


@pytest.mark.parametrize("program", sorted(path.name for path in OBJECTS.glob("*.bpf.c")))
def test_program_compiles_without_a_warning(program: str) -> None:
    warnings = ("-Wall", "-Wextra", "-Werror", "-Wno-unused-function", "-Wno-unused-parameter", "-O2", "-mcpu=v3")
    done = compile_c(f'#include "{program}"\n', *warnings)
    assert not done.returncode, done.stderr


@pytest.mark.parametrize("front", ["tc", "xdp"])
def test_frames_of_the_deepest_calls_fit_the_stack_of_old_kernels(front: str, tmp_path: Path) -> None:
    include = Path("/usr/include", sysconfig.get_config_var("MULTIARCH") or "")
    command = ["clang", "-target", "bpf", "-O2", "-mcpu=v3", "-fstack-usage", f"-I{include}", "-c"]
    subprocess.run([*command, OBJECTS / f"{front}.bpf.c", "-o", tmp_path / "out.o"], check=True)
    rows = (line.split("\t") for line in (tmp_path / "out.su").read_text().splitlines())
    frames = {row[0].rpartition(":")[2]: (int(row[1]) + 31) // 32 * 32 for row in rows}  # rounded as Linux 6.1 does
    for chain in (
        "open_planned choose try_slot",
        "open_planned open_connection add_flow",
        "begin enter_embryo close_connection delete_flow",
        "begin enter_embryo close_connection tell",
        "changed tell",
    ):
        assert frames[f"nat_lb_{front}"] + sum(frames[name] for name in chain.split()) <= 512, (chain, frames)
