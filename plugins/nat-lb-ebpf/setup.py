"""Compiles the kernel's part with clang, beside the sources when editable, into the wheel otherwise."""

from __future__ import annotations

import shutil
import subprocess
import sysconfig
from pathlib import Path

from setuptools import setup  # type: ignore[import-untyped, unused-ignore]
from setuptools.command.build_py import build_py  # type: ignore[import-untyped, unused-ignore]

SOURCES = Path("src/nat_lb_ebpf/bpf")
FLAGS = ("-O2", "-g", "-mcpu=v3", "-target", "bpf", "-fdebug-compilation-dir=.")


class BuildObjects(build_py):  # type: ignore[misc, unused-ignore]
    """Builds the package, and an object of every `*.bpf.c`."""

    def run(self) -> None:
        """Compile; a compiler that is missing is told with its remedy."""
        super().run()
        clang = shutil.which("clang")
        if clang is None:
            raise SystemExit(
                "nat-lb-ebpf: clang was not found; it compiles the kernel's part. Remedy, on Debian: "
                "apt-get install clang libbpf-dev linux-libc-dev. nat-lb works without nat-lb-ebpf, on its slow path."
            )
        target = SOURCES if self.editable_mode else Path(self.build_lib, "nat_lb_ebpf", "bpf")
        include = Path("/usr/include", sysconfig.get_config_var("MULTIARCH") or "")  # asm/types.h on Debian
        for source in SOURCES.glob("*.bpf.c"):
            compiled = target / source.with_suffix(".o").name
            command = [clang, *FLAGS, f"-I{include}", "-c", str(source), "-o", str(compiled)]
            if subprocess.run(command, check=False).returncode:
                raise SystemExit(
                    f"nat-lb-ebpf: {source} could not be compiled (clang's words are above). If a header is missing, "
                    "on Debian: apt-get install libbpf-dev linux-libc-dev"
                )
            strip = shutil.which("llvm-strip")
            if strip is not None:  # debug lines are not needed; BTF stays
                subprocess.run([strip, "--strip-debug", compiled], check=True)


setup(cmdclass={"build_py": BuildObjects})
