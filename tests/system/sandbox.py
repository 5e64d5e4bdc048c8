# SPDX-License-Identifier: BSD-3-Clause
"""What a unit of systemd forbids its service, laid on a process without systemd: the filters that it
makes of SystemCallFilter, MemoryDenyWriteExecute and RestrictAddressFamilies, no capabilities, no new
privileges. By libseccomp, as systemd itself does it."""
import ctypes
import errno
import os
import socket
import subprocess

ALLOW, ERRNO = 0x7FFF0000, 0x00050000
MASKED_EQUAL, EQUAL = 7, 4  # libseccomp's comparisons
PROT_WRITE, PROT_EXEC = 2, 4
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
CAPABILITIES = 64


class _Compare(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("how", ctypes.c_int),
                ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


def settings(unit):
    """The unit's settings, each with all its values in their order."""
    found = {}
    for line in unit.read_text().splitlines():
        if line and line[0] not in "#[;":
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def expand(names):
    """The system calls of names, some of which are sets ("@chown")."""
    calls = set()
    for name in names:
        if not name.startswith("@"):
            calls.add(name)
            continue
        lines = subprocess.run(["systemd-analyze", "syscall-filter", name], check=True, text=True,
                               capture_output=True).stdout.splitlines()[1:]
        calls |= expand(line.strip() for line in lines if line.strip()[:1] not in ("#", ""))
    return calls


def allowed_calls(values):
    """What SystemCallFilter's lines come to; the first names what is allowed."""
    assert not values[0].startswith("~"), values
    calls = expand(["@default"])
    for value in values:
        if value.startswith("~"):
            calls -= expand(value[1:].split())
        else:
            calls |= expand(value.split())
    return calls


class Sandbox:
    """To be laid on a process between fork and exec: subprocess' preexec_fn."""

    def __init__(self, unit):
        self.lib = ctypes.CDLL("libseccomp.so.2", use_errno=True)
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.lib.seccomp_init.restype = ctypes.c_void_p
        found = settings(unit)
        assert found["MemoryDenyWriteExecute"] == ["yes"] == found["NoNewPrivileges"], found
        assert found["CapabilityBoundingSet"] == [""], found
        families = {int(getattr(socket, name))
                    for name in found["RestrictAddressFamilies"][0].split()}
        self.filters = [self._of_calls(allowed_calls(found["SystemCallFilter"])),
                        self._of_memory(), self._of_families(families)]

    def _rule(self, context, action, call, *compare):
        number = self.lib.seccomp_syscall_resolve_name(call.encode())
        if number < 0:
            return  # another architecture's
        array = (_Compare * max(1, len(compare)))(*compare)
        result = self.lib.seccomp_rule_add_array(
            ctypes.c_void_p(context), ctypes.c_uint32(action), number, len(compare), array)
        assert result == 0, (call, result)

    def _of_calls(self, calls):
        context = self.lib.seccomp_init(ctypes.c_uint32(ERRNO | errno.EPERM))
        for call in calls:
            self._rule(context, ALLOW, call)
        return context

    def _of_memory(self):
        context = self.lib.seccomp_init(ctypes.c_uint32(ALLOW))
        both = PROT_WRITE | PROT_EXEC
        self._rule(context, ERRNO | errno.EPERM, "mmap", _Compare(2, MASKED_EQUAL, both, both))
        for call in ("mprotect", "pkey_mprotect"):
            self._rule(context, ERRNO | errno.EPERM, call,
                       _Compare(2, MASKED_EQUAL, PROT_EXEC, PROT_EXEC))
        return context

    def _of_families(self, families):
        context = self.lib.seccomp_init(ctypes.c_uint32(ALLOW))
        for family in set(range(64)) - families:
            self._rule(context, ERRNO | errno.EAFNOSUPPORT, "socket", _Compare(0, EQUAL, family, 0))
        return context

    def enter(self):
        for capability in range(CAPABILITIES if os.geteuid() == 0 else 0):
            self.libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        assert self.libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
        for context in reversed(self.filters):
            assert self.lib.seccomp_load(ctypes.c_void_p(context)) == 0
