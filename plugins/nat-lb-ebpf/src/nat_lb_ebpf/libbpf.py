"""libbpf, as much of it as is needed, by ctypes.

The law: a call that fails raises `FastPathFault`, with what was asked and the remedy; nothing here knows what the maps
and programs are for. Needs libbpf 1.0 or newer.
"""

from __future__ import annotations

import ctypes as c
import functools
import mmap
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nat_lb_ebpf.errors import FastPathFault

_ROOT = "Remedy: run as root, on a kernel of 6.1 or newer with BPF."
_ENOENT = 2
_PROGRAM_INFO, _NAME_AT = 80, 64  # the beginning of struct bpf_prog_info, and its name in it
_ANY = 0  # BPF_ANY: create a key or change its value

_SAMPLE = c.CFUNCTYPE(c.c_int, c.c_void_p, c.c_void_p, c.c_size_t)
_PRINT = c.CFUNCTYPE(c.c_int, c.c_int, c.c_char_p, c.c_void_p)


class _TestRun(c.Structure):
    """Arguments and results of one BPF_PROG_TEST_RUN (struct bpf_test_run_opts)."""

    _fields_ = (
        ("sz", c.c_size_t),
        ("data_in", c.c_void_p),
        ("data_out", c.c_void_p),
        ("data_size_in", c.c_uint32),
        ("data_size_out", c.c_uint32),
        ("ctx_in", c.c_void_p),
        ("ctx_out", c.c_void_p),
        ("ctx_size_in", c.c_uint32),
        ("ctx_size_out", c.c_uint32),
        ("retval", c.c_uint32),
        ("repeat", c.c_int),
        ("duration", c.c_uint32),
        ("flags", c.c_uint32),
        ("cpu", c.c_uint32),
        ("batch_size", c.c_uint32),
    )


class _MapInfo(c.Structure):
    """The beginning of struct bpf_map_info."""

    _fields_ = (
        ("type", c.c_uint32),
        ("id", c.c_uint32),
        ("key_size", c.c_uint32),
        ("value_size", c.c_uint32),
        ("max_entries", c.c_uint32),
    )


class TcHook(c.Structure):
    """Where a program is attached: the ingress of a device."""

    _fields_ = (("sz", c.c_size_t), ("ifindex", c.c_int), ("attach_point", c.c_int), ("parent", c.c_uint32))


class TcOptions(c.Structure):
    """Which filter of the hook."""

    _fields_ = (
        ("sz", c.c_size_t),
        ("prog_fd", c.c_int),
        ("flags", c.c_uint32),
        ("prog_id", c.c_uint32),
        ("handle", c.c_uint32),
        ("priority", c.c_uint32),
    )


_POINTERS = (
    "bpf_object__open_file", "bpf_object__find_map_by_name", "bpf_object__find_program_by_name", "ring_buffer__new",
)  # fmt: skip


@functools.cache
def library() -> c.CDLL:
    """Return the system's libbpf; raises `FastPathFault` if there is none."""
    try:
        lib = c.CDLL("libbpf.so.1", use_errno=True)
    except OSError as error:
        raise FastPathFault(
            f"nat-lb-ebpf: libbpf 1 cannot be loaded ({error}). Remedy, on Debian: apt-get install libbpf1"
        ) from None
    for name in _POINTERS:
        getattr(lib, name).restype = c.c_void_p
    lib.libbpf_set_print(_SILENT)
    return lib


def _silence(level: int, text: bytes, arguments: int) -> int:
    """Keep libbpf from writing to standard error."""
    return 0


_SILENT = _PRINT(_silence)


class Map:
    """One map, by its file descriptor, which is closed with it."""

    def __init__(self, name: str, fd: int) -> None:
        self.name, self.fd = name, fd
        info = _MapInfo()
        size = c.c_uint32(c.sizeof(info))
        if error := library().bpf_obj_get_info_by_fd(fd, c.byref(info), c.byref(size)):
            raise FastPathFault.of(f"asking about the map {name}", error, _ROOT)
        self.key_size: int = info.key_size
        self.value_size: int = info.value_size
        self.entries: int = info.max_entries

    def get(self, key: bytes, size: int = 0) -> bytes | None:
        """Return a key's value (`size` octets, where that is not the map's value size), None if it has none."""
        value = c.create_string_buffer(size or self.value_size)
        if error := library().bpf_map_lookup_elem(self.fd, key, value):
            if -error == _ENOENT:
                return None
            raise FastPathFault.of(f"reading the map {self.name}", error, _ROOT)
        return value.raw

    def put(self, key: bytes, value: bytes) -> None:
        """Write a key's value."""
        if error := library().bpf_map_update_elem(self.fd, key, value, c.c_uint64(_ANY)):
            raise FastPathFault.of(f"writing the map {self.name}", error, "Remedy: raise the limits of the fast path.")

    def delete(self, key: bytes) -> bool:
        """Delete a key; return whether it was there."""
        error = library().bpf_map_delete_elem(self.fd, key)
        if error and -error != _ENOENT:
            raise FastPathFault.of(f"deleting from the map {self.name}", error, _ROOT)
        return not error

    def __iter__(self) -> Iterator[bytes]:
        """Yield every key; those that come or go meanwhile may be left out."""
        key: bytes | None = None
        following = c.create_string_buffer(self.key_size)
        while not library().bpf_map_get_next_key(self.fd, key, following):
            key = following.raw
            yield key

    def memory(self) -> mmap.mmap:
        """Return the values of a mappable array as memory that the kernel's programs see."""
        return mmap.mmap(self.fd, self.entries * ((self.value_size + 7) & ~7))

    def close(self) -> None:
        """Give the descriptor back; the map lives on where it is pinned or used."""
        os.close(self.fd)


class RingBuffer:
    """The records that programs write into a ring buffer, in the order in which they were written."""

    def __init__(self, source: Map) -> None:
        self._records: list[bytes] = []
        self._sample = _SAMPLE(self._take)
        self._buffer = library().ring_buffer__new(source.fd, self._sample, None, None)
        if not self._buffer:
            raise FastPathFault.of(f"opening the ring buffer {source.name}", c.get_errno(), _ROOT)

    def _take(self, context: int, data: int, size: int) -> int:
        self._records.append(c.string_at(data, size))
        return 0

    def records(self) -> list[bytes]:
        """Return what was written since the last call."""
        call("reading the ring buffer", "ring_buffer__consume", c.c_void_p(self._buffer))
        taken, self._records = self._records, []
        return taken

    def close(self) -> None:
        """Give it back."""
        library().ring_buffer__free(c.c_void_p(self._buffer))


class Program:
    """One loaded program, by its file descriptor."""

    def __init__(self, name: str, fd: int) -> None:
        self.name, self.fd = name, fd

    def run(self, data: bytes, *, context: bytes = b"", repeat: int = 1, room: int = 256) -> tuple[int, bytes, int]:
        """Run the program on a packet; return what it returned, the packet then, and ns a run.

        `context` is its __sk_buff or xdp_md; `room` is for octets that the packet grows.
        """
        out = c.create_string_buffer(len(data) + room)
        options = _TestRun(sz=c.sizeof(_TestRun), data_size_in=len(data), data_size_out=len(out), repeat=repeat)
        options.data_in = c.cast(c.c_char_p(data), c.c_void_p)
        options.data_out = c.cast(out, c.c_void_p)
        if context:
            options.ctx_in, options.ctx_size_in = c.cast(c.c_char_p(context), c.c_void_p), len(context)
        if error := library().bpf_prog_test_run_opts(self.fd, c.byref(options)):
            raise FastPathFault.of(f"running the program {self.name}", error, _ROOT)
        return options.retval, out.raw[: options.data_size_out], options.duration

    def close(self) -> None:
        """Give the descriptor back; the program lives on where it is pinned or attached."""
        os.close(self.fd)


class Object:
    """A compiled object, opened and, with the sizes and maps that it is given, loaded."""

    def __init__(self, path: Path) -> None:
        if not path.exists():
            raise FastPathFault(
                f"nat-lb-ebpf: {path} is missing: this installation was made without a compiler for the kernel's part. "
                "Remedy: install clang and libbpf-dev, then install nat-lb-ebpf again."
            )
        self.path = path
        self._object = library().bpf_object__open_file(str(path).encode(), None)
        if not self._object:
            raise FastPathFault.of(f"opening {path}", c.get_errno(), "Remedy: install nat-lb-ebpf again.")

    def _map(self, name: str) -> c.c_void_p | None:
        found = library().bpf_object__find_map_by_name(c.c_void_p(self._object), name.encode())
        return c.c_void_p(found) if found else None

    def resize(self, name: str, entries: int) -> None:
        """Set how many entries a map of the object will have, if it has the map."""
        if (found := self._map(name)) is not None:
            library().bpf_map__set_max_entries(found, c.c_uint32(entries))

    def share(self, maps: Mapping[str, Map]) -> None:
        """Use these maps where the object names them."""
        for name, shared in maps.items():
            if (found := self._map(name)) is not None:
                if error := library().bpf_map__reuse_fd(found, shared.fd):
                    raise FastPathFault.of(f"sharing the map {name}", error, _ROOT)

    def load(self) -> None:
        """Have the kernel verify and load it."""
        if error := library().bpf_object__load(c.c_void_p(self._object)):
            raise FastPathFault.of(f"loading {self.path.name} into the kernel", error, _ROOT)

    def map(self, name: str) -> Map:
        """Return a loaded map by name, with a descriptor of its own."""
        found = self._map(name)
        if found is None:
            raise FastPathFault(f"nat-lb-ebpf: {self.path.name} has no map {name}. Remedy: install nat-lb-ebpf again.")
        return Map(name, os.dup(library().bpf_map__fd(found)))

    def program(self, name: str) -> Program:
        """Return a loaded program by name, with a descriptor of its own."""
        found = library().bpf_object__find_program_by_name(c.c_void_p(self._object), name.encode())
        if not found:
            raise FastPathFault(f"nat-lb-ebpf: {self.path.name} has no {name}. Remedy: install nat-lb-ebpf again.")
        return Program(name, os.dup(library().bpf_program__fd(c.c_void_p(found))))

    def close(self) -> None:
        """Forget it; what was taken out of it lives on."""
        library().bpf_object__close(c.c_void_p(self._object))


def program_name(number: int) -> str:
    """Return the name of a loaded program, given by its number; empty if it is gone."""
    fd = library().bpf_prog_get_fd_by_id(c.c_uint32(number))
    if fd < 0:
        return ""
    try:
        info, size = c.create_string_buffer(_PROGRAM_INFO), c.c_uint32(_PROGRAM_INFO)
        call(f"program {number}", "bpf_obj_get_info_by_fd", fd, info, c.byref(size))
    finally:
        os.close(fd)
    return info.raw[_NAME_AT : _NAME_AT + 16].rstrip(b"\0").decode("ascii", "replace")


def mount_file_system(folder: Path) -> None:
    """Have a BPF file system at a folder, which systemd mounts and other systems may not; nothing if one is there."""
    if folder.is_mount():
        return
    libc = c.CDLL(None, use_errno=True)
    if libc.mount(b"bpf", str(folder).encode(), b"bpf", 0, None):
        raise FastPathFault.of(f"mounting {folder}", c.get_errno(), f"Remedy: mount -t bpf bpf {folder}")


def pin(fd: int, path: Path) -> None:
    """Keep a map or program in the BPF file system, past the end of this process."""
    if error := library().bpf_obj_pin(fd, str(path).encode()):
        raise FastPathFault.of(f"pinning {path}", error, "Remedy: mount -t bpf bpf /sys/fs/bpf")


def pinned(path: Path) -> int:
    """Return a descriptor of what is pinned at a path."""
    fd: int = library().bpf_obj_get(str(path).encode())
    if fd < 0:
        raise FastPathFault.of(f"taking over {path}", fd, "Remedy: nat-lb cleanup, then start again.")
    return fd


def call(what: str, name: str, *arguments: Any, fine: tuple[int, ...] = ()) -> int:
    """Call a function that returns 0 or more, or -errno; an errno in `fine` is returned and no fault."""
    result: int = getattr(library(), name)(*arguments)
    if result < 0 and -result not in fine:
        raise FastPathFault.of(what, result, _ROOT)
    return result
