# SPDX-License-Identifier: BSD-3-Clause
"""What the guest boots: a kernel of Debian's, and an initramfs with busybox, hongbaod, what it is linked
with, the DPDK drivers that it loads, and files of the caller's.

Nothing is installed: the kernel's package is fetched and unpacked into a directory of the caller's,
and the archive is written here, so neither root nor a boot loader is involved. The same input gives the
same archive.
"""
import os
import re
import shutil
import stat
import subprocess
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]

# The kernel for virtual machines: a third of the size of the other one, packed with LZ4, so it boots
# in half the time; it has uio_pci_generic.
KERNEL_PACKAGE = "linux-image-cloud-amd64"
MODULES = ("kernel/drivers/uio/uio.ko", "kernel/drivers/uio/uio_pci_generic.ko")

# The drivers of DPDK that a virtio NIC takes, and what they are linked with.
PLUGINS = ("bus_pci", "bus_vdev", "mempool_ring", "net_virtio")

LIBRARIES = "lib/x86_64-linux-gnu"


class Missing(Exception):
    """Something that the guest is made of can't be had here."""


# ---- the kernel --------------------------------------------------------------------------------


def _run(*command, cwd):
    try:
        done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              check=False)
    except OSError as error:
        raise Missing(f"{command[0]}: {error.strerror}; the guest's kernel is a package of Debian's"
                      ) from error
    if done.returncode != 0:
        raise Missing(f"{' '.join(map(str, command))}: {done.stderr.strip()[-300:]}")
    return done.stdout


def _kernel_package(cwd):
    """The name of the package that the kernel itself is in."""
    depends = _run("apt-cache", "depends", "--important", KERNEL_PACKAGE, cwd=cwd)
    found = re.search(r"Depends: (linux-image-\S+)", depends)
    if not found:
        raise Missing(f"{KERNEL_PACKAGE} names no kernel; as root: apt-get update")
    return found.group(1)


def _fetch_kernel(into):
    """The package, and of what is in it those files that are needed."""
    _run("apt-get", "download", _kernel_package(into), cwd=into)
    package, = into.glob("*.deb")
    whole = into / "whole"
    _run("dpkg-deb", "-x", package, whole, cwd=into)
    image, = whole.glob("boot/vmlinuz-*")
    modules = whole / "lib/modules" / image.name.removeprefix("vmlinuz-")
    for source in (image, *(modules / name for name in MODULES)):
        shutil.copyfile(source, into / source.name)
    shutil.rmtree(whole)
    package.unlink()


def kernel(cache):
    """(vmlinuz, its modules) in the cache directory; fetched there at the first call."""
    unpacked = cache / "kernel"
    if not unpacked.exists():
        partial = cache / "kernel.partial"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _fetch_kernel(partial)
        partial.rename(unpacked)
    image, = unpacked.glob("vmlinuz-*")
    return image, [unpacked / Path(name).name for name in MODULES]


# ---- the archive -------------------------------------------------------------------------------


class Archive:
    """A cpio archive in the form that the kernel unpacks ("newc"), every file root's, of time 0."""

    def __init__(self):
        self.entries = {}  # name -> (mode, content)

    def directory(self, name):
        if name not in ("", "."):
            self.directory(os.path.dirname(name))
            self.entries.setdefault(name, (stat.S_IFDIR | 0o755, b""))

    def write(self, name, content, mode=0o644):
        self.directory(os.path.dirname(name))
        self.entries[name] = (stat.S_IFREG | mode, content)

    def copy(self, name, path, mode=0o644):
        self.write(name, Path(path).read_bytes(), mode)

    def link(self, name, target):
        self.directory(os.path.dirname(name))
        self.entries[name] = (stat.S_IFLNK | 0o777, target.encode())

    def bytes(self):
        out = bytearray()
        entries = [*self.entries.items(), ("TRAILER!!!", (0, b""))]
        for number, (name, (mode, content)) in enumerate(entries, 1):
            text = name.encode() + b"\0"
            fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(text), 0)
            out += b"070701" + b"".join(b"%08X" % field for field in fields) + text
            out += bytes(-len(out) % 4) + content
            out += bytes(-len(out) % 4)
        return bytes(out)


def _libraries(programs):
    """Every library that the programs and plugins are linked with: name -> path."""
    found = {}
    for program in programs:
        done = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
        if done.returncode != 0 or "not found" in done.stdout:
            raise Missing(f"ldd {program}: {done.stdout}{done.stderr}")
        for name, path in re.findall(r"(\S+) => (\S+) \(", done.stdout):
            found[name] = path
    # The C library loads it only when a thread ends.
    beside = Path(found["libc.so.6"]).with_name("libgcc_s.so.1")
    found[beside.name] = str(beside)
    return found


def _plugins():
    """The directory that DPDK loads drivers from, and the drivers' names as libraries -> paths."""
    said = subprocess.run(["pkg-config", "--variable=libdir", "libdpdk"], capture_output=True, text=True,
                          check=False).stdout.strip()
    for directory in sorted(Path(said or f"/usr/{LIBRARIES}").glob("dpdk/pmds-*")):
        major = directory.name.removeprefix("pmds-").partition(".")[0]
        names = [f"librte_{name}.so.{major}" for name in PLUGINS]
        files = {name: directory / name for name in names}
        if all(path.exists() for path in files.values()):
            return directory, files
    raise Missing("DPDK's drivers are not where libdpdk says; as root: apt-get install libdpdk-dev")


def initramfs(hongbaod, modules, files):
    """The archive's bytes. files: name -> (content, mode), besides the programs."""
    busybox = shutil.which("busybox")
    if not busybox:
        raise Missing("no busybox; as root: apt-get install busybox-static")
    archive = Archive()
    # The names that a system with a merged /usr has: plugins are loaded by their full path.
    for name in ("bin", "lib", "lib64", "sbin"):
        archive.directory(f"usr/{name}")
        archive.link(name, f"usr/{name}")
    for name in ("dev", "proc", "sys", "tmp", "run", "var"):
        archive.directory(name)
    archive.link("var/run", "/run")
    archive.copy("init", HERE / "init", 0o755)
    archive.copy("usr/bin/busybox", busybox, 0o755)
    archive.copy("usr/bin/hongbaod", hongbaod, 0o755)
    directory, plugins = _plugins()
    libraries = _libraries([hongbaod, *plugins.values()])
    libraries.update({name: str(path) for name, path in plugins.items()})
    for name, path in sorted(libraries.items()):
        archive.copy(f"usr/{LIBRARIES}/{name}", path, 0o755)
    # One file for each: a driver that EAL loads and another one is linked with must not come twice. EAL
    # looks at names that end in .so, or in .so and its own version.
    for name in plugins:
        archive.link(f"{str(directory)[1:]}/{name.partition('.so')[0]}.so", f"/usr/{LIBRARIES}/{name}")
    loader = "ld-linux-x86-64.so.2"
    archive.copy(f"usr/lib64/{loader}", os.path.realpath(f"/lib64/{loader}"), 0o755)
    for module in modules:
        archive.copy(f"modules/{module.name}", module)
    for profile in sorted((TOP / "drivers-config").glob("*.yaml")):
        archive.copy(f"etc/hongbao/drivers-config/{profile.name}", profile)
    for name, (content, mode) in files.items():
        archive.write(name, content, mode)
    return archive.bytes()
