# SPDX-License-Identifier: BSD-3-Clause
"""What a host lacks: hongbaod --check and drivers-config/prepare-host.sh look at the same made-up hosts
(/sys, /proc and /dev under a directory) and must say the same, and what they say must be right. What
the script does, it does to such hosts too; only hugepages are changed for real, and put back.

usage: test_prepare_host.py BUILD-DIRECTORY [TEST ...]
"""
import os
import re
import shutil
import subprocess
from pathlib import Path

from programs import CAMPAIGN, main

SCRIPT = Path(__file__).resolve().parents[2] / "drivers-config" / "prepare-host.sh"
NIC = "0000:03:00.0"
OTHER = "0000:03:00.1"
ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT\n"
OK, FAILED, USAGE, CONFIG, HOST = 0, 1, 2, 3, 4
NOBODY = 65534
PAGES_2M, PAGES_1G = "hugepages-2048kB", "hugepages-1048576kB"


class Host:
    """A directory that looks like a host on which nothing is wrong: one NIC, bound to vfio-pci."""

    def __init__(self, directory, nodes=1, cpus=4):
        self.root = Path(directory)
        for name in ("ixgbe", "vfio-pci", "uio_pci_generic", "mlx5_core", "ahci"):
            (self.root / "sys/bus/pci/drivers" / name).mkdir(parents=True)
        (self.root / "sys/bus/pci/devices").mkdir()
        self.device(NIC, driver="vfio-pci", group=7)
        self.each_node = cpus // nodes
        for node in range(nodes):
            first = node * self.each_node
            self.write(f"sys/devices/system/node/node{node}/cpulist",
                       f"{first}-{first + self.each_node - 1}")
            self.pages(1024, node=node)
        self.pages(1024 * nodes)
        self.write("sys/devices/system/cpu/isolated", f"0-{cpus - 1}")
        self.write("sys/devices/system/cpu/nohz_full", f"0-{cpus - 1}")
        for cpu in range(cpus):
            self.governor(cpu, "performance")
        self.process(f"0-{cpus - 1}")
        self.write("proc/net/route", ROUTES)
        self.write("proc/net/ipv6_route", "")
        (self.root / "dev/hugepages").mkdir(parents=True)
        self.write("dev/net/tun", "")

    def write(self, path, text):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n" if text else "")

    def read(self, path):
        return (self.root / path).read_text().strip()

    def pages(self, free, node=None, size=PAGES_2M, total=None):
        where = "sys/kernel/mm/hugepages" if node is None else \
            f"sys/devices/system/node/node{node}/hugepages"
        self.write(f"{where}/{size}/free_hugepages", str(free))
        self.write(f"{where}/{size}/nr_hugepages", str(free if total is None else total))

    def governor(self, cpu, name):
        self.write(f"sys/devices/system/cpu/cpu{cpu}/cpufreq/scaling_governor", name)

    def process(self, cpus, capabilities="000001ffffffffff", lock="unlimited", files="65536"):
        self.write("proc/self/status", f"Name:\tx\nCapPrm:\t0000000000000000\n"
                   f"CapEff:\t{capabilities}\nCpus_allowed:\tf\nCpus_allowed_list:\t{cpus}")
        self.write("proc/self/limits", "Limit                     Soft Limit           Hard Limit\n"
                   f"Max locked memory         {lock:<20} {lock:<20} bytes\n"
                   f"Max open files            {files:<20} {files:<20} files")

    def device(self, address, driver=None, group=None, node=0, interface=None, kind="0x020000"):
        """Makes a PCI device, or makes it anew."""
        place = self.root / "sys/bus/pci/devices" / address
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir()
        self.write(f"sys/bus/pci/devices/{address}/class", kind)
        self.write(f"sys/bus/pci/devices/{address}/numa_node", str(node))
        self.bind(address, driver)
        if group is not None:
            devices = self.root / f"sys/kernel/iommu_groups/{group}/devices"
            devices.mkdir(parents=True, exist_ok=True)
            (place / "iommu_group").symlink_to(f"../../../../kernel/iommu_groups/{group}")
            if not (devices / address).is_symlink():
                (devices / address).symlink_to(f"../../../../bus/pci/devices/{address}")
        if interface is not None:
            (place / interface).mkdir(parents=True)

    def bind(self, address, driver):
        link = self.root / "sys/bus/pci/devices" / address / "driver"
        if link.is_symlink():
            link.unlink()
        if driver is not None:
            link.symlink_to(f"../../drivers/{driver}")

    def driver(self, address=NIC):
        link = self.root / "sys/bus/pci/devices" / address / "driver"
        return os.path.basename(os.readlink(link)) if link.is_symlink() else None


def script(p, root, *arguments, path=None, user=None):
    environment = dict(os.environ, HONGBAO_SYSROOT=str(root))
    environment.pop("HONGBAO_PROFILES", None)
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(["sh", SCRIPT, *map(str, arguments)], env=environment, cwd=p.directory,
                          capture_output=True, text=True, timeout=60, check=False, user=user)


def findings(text, program):
    """The lines that tell of a finding, without the program's name."""
    return re.findall(rf"^{program}: ((?:error|warning): .*)$", text, re.MULTILINE)


def both(p, host, profile="ixgbe", device=NIC, workers=1, users=100000, user=None, eal=(), packets=(0, 0)):
    """What both programs find on a host; fails where they differ."""
    p.config(ports=[{"profile": profile, "device": device}], workers=workers, users=users,
             clock=None, campaigns=[CAMPAIGN], packets={"open": packets[0], "shares": packets[1]})
    environment = dict(os.environ, HONGBAO_SYSROOT=str(host.root),
                       HONGBAO_PROFILES=str(SCRIPT.parent))
    check = subprocess.run(
        [p.build / "app/hongbaod/hongbaod", "--check", "-c", "c.yaml", *(("--", *eal) if eal else ())],
        env=environment, cwd=p.directory, capture_output=True, text=True, timeout=60, check=False,
        user=user)
    said = findings(check.stderr, "hongbaod")
    errors = [line for line in said if line.startswith("error")]
    assert check.returncode == (HOST if errors else OK), (check.returncode, check.stderr)
    assert ("c.yaml: good" in check.stdout) != bool(errors), check.stdout
    assert len(check.stderr.splitlines()) == len(said) + bool(errors), check.stderr
    if not eal:
        other = script(p, host.root, "--profile", profile, "--device", device, "--workers", workers,
                       "--users", users, "--packets", packets[0], "--packet-shares", packets[1],
                       user=user)
        assert findings(other.stderr, "prepare-host") == said, (said, other.stderr)
        assert other.returncode == (HOST if errors else OK), (other.returncode, other.stderr)
        assert len(other.stderr.splitlines()) == len(said), other.stderr
    return said


def fresh(p, **shape):
    """A good host, in a directory of its own."""
    p.keys()
    number = len(list(p.directory.glob("host*")))
    return Host(p.path(f"host{number}"), **shape)


def expect(said, *lines):
    """Just these findings; each is given by words that must be in it, in this order."""
    assert len(said) == len(lines), said
    for line, words in zip(said, lines):
        at = 0
        for word in words:
            at = line.find(word, at)
            assert at >= 0, (word, line)


# ---- checks ----------------------------------------------------------------------------


def a_good_host_says_nothing(p):
    expect(both(p, fresh(p)))
    expect(both(p, fresh(p, nodes=2, cpus=8), workers=2))
    host = fresh(p)
    host.pages(0)
    host.pages(0, node=0)
    host.pages(4, size=PAGES_1G)
    host.pages(4, node=0, size=PAGES_1G)
    expect(both(p, host))
    assert both(p, host, device="03:00.0,some=thing") == []
    # Root needs no mount.
    (host.root / "dev/hugepages").rmdir()
    if os.geteuid() == 0:
        expect(both(p, host))


def virtual_devices_say_nothing(p):
    """A laptop: none of what a NIC needs."""
    host = fresh(p)
    shutil.rmtree(host.root / "sys")
    shutil.rmtree(host.root / "dev")
    host.process("0-1", capabilities="0000000000000000", files="64")
    for profile in ("null", "ring", "memif"):
        expect(both(p, host, profile=profile, device=f"net_{profile}0"))


def devices(p):
    host = fresh(p)
    expect(both(p, host, device="0000:04:00.0"),
           ["error", "0000:04:00.0", "is not there", "try: dpdk-devbind.py --status"])
    expect(both(p, host, device="net_ixgbe0"), ["error", "net_ixgbe0: is no PCI address", "ixgbe"])
    expect(both(p, host, device="03:00.8"), ["error", "03:00.8: is no PCI address"])
    expect(both(p, host, device="03:00.0x"), ["error", "03:00.0x: is no PCI address"])


def what_is_no_nic_is_not_bound(p):
    """An address too many, and the host has no disk."""
    host = fresh(p)
    host.device(NIC, driver="ahci", group=7, kind="0x010601")
    said = both(p, host)
    expect(said, ["error", "is no NIC, its class is 0x010601", "--status-dev net"])
    path = tools(p, dpdk_devbind_py=DEVBIND)
    done = script(p, host.root, "--profile", "ixgbe", "--device", NIC, "--apply", path=path)
    assert done.returncode == HOST and host.driver() == "ahci" and not calls(host), done


def drivers(p):
    host = fresh(p)
    bind = f"try: dpdk-devbind.py -b vfio-pci {NIC}"
    host.bind(NIC, "ixgbe")
    expect(both(p, host), ["error", NIC, "bound to ixgbe", "ixgbe needs vfio-pci", bind])
    host.bind(NIC, None)
    expect(both(p, host), ["warning", "bound to no driver", "needs vfio-pci", bind])
    host.bind(NIC, "uio_pci_generic")
    expect(both(p, host), ["warning", "bound to uio_pci_generic", "IOMMU", bind])
    expect(both(p, host, profile="vmxnet3"))
    host.bind(NIC, "vfio-pci")
    expect(both(p, host, profile="vmxnet3"))
    host.bind(NIC, "ixgbe")
    shutil.rmtree(host.root / "sys/bus/pci/drivers/uio_pci_generic")
    expect(both(p, host, profile="virtio"),
           ["error", "virtio needs uio_pci_generic", "try: modprobe uio_pci_generic && dpdk-devbind"])


def the_kernels_own_driver(p):
    host = fresh(p)
    expect(both(p, host, profile="mlx5"),
           ["error", "bound to vfio-pci", "mlx5 needs the kernel's own", "drivers_probe"])
    host.bind(NIC, "mlx5_core")
    expect(both(p, host, profile="mlx5"))
    host.bind(NIC, None)
    expect(both(p, host, profile="mlx5"), ["error", "no driver", f"try: echo {NIC} > "])


def the_way_in_is_not_taken_away(p):
    for route, text, interface in (
            ("route", ROUTES + "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0", "net"),
            ("ipv6_route", "0" * 32 + " 00 " + "0" * 32 + " 00 " + "0" * 32 +
             " 00000400 00000000 00000000 00000003     eth0", "virtio3/net")):
        host = fresh(p)
        host.device(NIC, driver="ixgbe", group=7, interface=interface + "/eth0")
        host.write("proc/net/" + route, text)
        said = both(p, host)
        expect(said, ["error", "eth0 has the default route", "cut this host off", "--status-dev"])
        assert " -b " not in said[0], said
        # Its neighbour, which has none, may be taken.
        host.device(OTHER, driver="ixgbe", group=8, interface="net/eth1")
        expect(both(p, host, device=OTHER), ["error", OTHER, "bound to ixgbe", "-b vfio-pci"])
    # Other routes, and somebody else's default one.
    host.write("proc/net/ipv6_route", "0" * 32 + " 60 " + "0" * 32 + " 00 " + "0" * 32 +
               " 00000400 00000000 00000000 00000003     eth0")
    host.write("proc/net/route", ROUTES + "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000080\t0\t0\t0\n"
               "eth9\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0")
    expect(both(p, host), ["error", "bound to ixgbe", f"-b vfio-pci {NIC}"])


def iommu(p):
    host = fresh(p)
    host.device(NIC, driver="ixgbe")
    expect(both(p, host), ["error", "bound to ixgbe"],
           ["error", "has no IOMMU", "intel_iommu=on", "try: modprobe vfio && echo 1 > /sys/module"])
    host.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y")
    expect(both(p, host), ["error", "bound to ixgbe"])
    host.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N")
    expect(both(p, host), ["error", "bound to ixgbe"], ["error", "has no IOMMU"])
    host.bind(NIC, "uio_pci_generic")
    expect(both(p, host, profile="virtio"))


def iommu_groups(p):
    host = fresh(p)
    host.device(OTHER, driver="ixgbe", group=7)
    expect(both(p, host), ["error", f"group 7 has {OTHER}", "ixgbe", f"-b vfio-pci {OTHER}"])
    host.bind(OTHER, "vfio-pci")
    expect(both(p, host))
    host.bind(OTHER, None)
    expect(both(p, host))
    host.device(OTHER, driver="ahci", group=7, kind="0x010601")
    expect(both(p, host), ["error", "ahci", "try: ls -l /sys/kernel/iommu_groups/7/devices"])
    host.device(OTHER, driver="ahci", group=7, kind="0x060400")
    expect(both(p, host))
    host.device(OTHER, driver="ixgbe", group=7, interface="net/eth0")
    host.write("proc/net/route", ROUTES + "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0")
    expect(both(p, host), ["error", OTHER, "try: ls -l"])


def hugepages(p):
    host = fresh(p)
    host.pages(0, total=10)
    host.pages(0, node=0, total=10)
    # 116 MiB of frames, 4 of users.
    expect(both(p, host), ["warning: hugepages: 0 MiB are free, ", " MiB are needed",
                           "try: echo ", f"> /sys/devices/system/node/node0/hugepages/{PAGES_2M}/nr_"])
    line = both(p, host)[0]
    missing = int(re.search(r"echo (\d+)", line)[1]) - 10
    needed = int(re.search(r"(\d+) MiB are needed", line)[1])
    assert missing in (needed // 2, needed // 2 + 1), line
    host.pages(missing - 1)
    host.pages(missing - 1, node=0)
    expect(both(p, host), ["warning: hugepages:", f"try: echo {missing} >"])
    host.pages(missing)
    host.pages(missing, node=0)
    expect(both(p, host))
    expect(both(p, host, users=50000000), ["warning: hugepages:"])
    for packets in ((1, 1), (100000, 1000000), (7000000, 3), (20000000, 100000000)):
        line = both(p, host, packets=packets)
        assert len(line) == (packets != (1, 1)), (packets, line)
    # Both count the same for other sizes.
    for workers, users in ((1, 1), (1, 17), (3, 999999), (5, 10), (17, 10), (4, 200000000)):
        line = both(p, host, workers=workers, users=users)
        assert len(line) == (workers > 1), (workers, users, line)
    # What takes physical addresses cannot do without.
    host.pages(0)
    host.pages(0, node=0)
    host.bind(NIC, "uio_pci_generic")
    expect(both(p, host, profile="virtio"), ["error: hugepages: 0 MiB"])
    host.device(NIC, driver="vfio-pci", group=9)
    host.write("sys/kernel/iommu_groups/9/name", "vfio-noiommu")
    expect(both(p, host), ["error: hugepages: 0 MiB"])
    expect(both(p, host, eal=("--no-huge",)))
    # Only pages of 1 GiB.
    for path in host.root.glob("sys/**/" + PAGES_2M):
        shutil.rmtree(path)
    host.pages(0, size=PAGES_1G)
    host.pages(0, node=0, size=PAGES_1G)
    expect(both(p, host), ["error: hugepages:", "try: echo 1 >", PAGES_1G])


def memory_on_the_wrong_node(p):
    host = fresh(p, nodes=2, cpus=4)
    host.device(NIC, driver="vfio-pci", group=7, node=1)
    host.pages(0, node=1)
    host.pages(1024)
    host.process("2-3")
    expect(both(p, host), ["warning: hugepages: 0 MiB are free on node 1, where " + NIC,
                           "try: echo ", "/node1/hugepages/"])
    # And workers on the wrong one.
    host.pages(1024, node=1)
    host.process("0-3")
    expect(both(p, host), ["warning", f"{NIC}: is on NUMA node 1, CPU 1 of the workers elsewhere",
                           "try: taskset -c 2-3 hongbaod"])
    expect(both(p, host, workers=3), ["warning", "CPU 1 of the workers elsewhere"])
    expect(both(p, host, workers=4), ["warning", "CPU 0,1 of the workers elsewhere"])
    expect(both(p, host, eal=("--lcores", "0@2,1@3")))
    host.device(NIC, driver="vfio-pci", group=7, node=-1)
    expect(both(p, host))


def cpus(p):
    host = fresh(p)
    host.write("sys/devices/system/cpu/isolated", "")
    expect(both(p, host, workers=3), ["warning: CPU 1,2,3 of the workers is not isolated",
                                      "prepare-host.sh --isolate 1,2,3 --apply && reboot"])
    host.write("sys/devices/system/cpu/isolated", "2-3")
    expect(both(p, host, workers=2), ["warning: CPU 1 of the", "try: taskset -c 2-3 hongbaod"])
    host.write("sys/devices/system/cpu/nohz_full", "2")
    host.process("1-3")
    expect(both(p, host, workers=2), ["warning: CPU 3 of the workers is isolated, but", "nohz_full"])
    host.governor(3, "powersave")
    host.write("sys/devices/system/cpu/nohz_full", "2-3")
    expect(both(p, host, workers=2), ["warning: CPU 3 of", "governor powersave", "echo performance |"])
    host.governor(0, "ondemand")
    expect(both(p, host, workers=1))
    # A virtual machine has none.
    for path in host.root.glob("sys/devices/system/cpu/cpu*/cpufreq"):
        shutil.rmtree(path)
    expect(both(p, host, workers=2))


def open_files(p):
    host = fresh(p)
    host.process("0-3", files="256")
    expect(both(p, host), ["warning: limits: 256 files may be open", "try: ulimit -n "])


def an_ordinary_user(p):
    """Rights of a user who isn't root."""
    if os.geteuid() != 0:
        return "only root can become somebody else"
    host = fresh(p)
    p.directory.chmod(0o755)
    os.chown(p.path("keys.yaml"), NOBODY, NOBODY)
    host.process("0-3", lock="67108864")
    try:
        subprocess.run([p.build / "app/hongbaod/hongbaod", "--version"], user=NOBODY, check=True,
                       capture_output=True)
        subprocess.run(["test", "-r", SCRIPT], user=NOBODY, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "the build lies where nobody else can look"
    expect(both(p, host, user=NOBODY),
           ["warning: hugepages: this user may not write", f"try: chown {NOBODY} /dev/hugepages"],
           ["warning: limits: this user may lock 64 MiB", "--limits nobody --apply"])
    (host.root / "dev/hugepages").rmdir()
    host.process("0-3")
    expect(both(p, host, user=NOBODY), ["warning: hugepages:", "mount -t hugetlbfs"])
    (host.root / "dev/net/tun").chmod(0o600)
    expect(both(p, host, user=NOBODY, profile="tap", device="net_tap0"),
           ["error: device net_tap0", "may not use /dev/net/tun", "chmod 666"])
    return None


def rights_for_virtual_devices(p):
    host = fresh(p)
    # All but CAP_NET_RAW, then all but CAP_NET_ADMIN.
    host.process("0-3", capabilities="000001ffffffdfff")
    expect(both(p, host, profile="tap", device="net_tap0,iface=hb0"))
    expect(both(p, host, profile="af_packet", device="net_af_packet0,iface=eth1"),
           ["error: device net_af_packet0: needs CAP_NET_RAW", "setcap cap_net_raw+ep"])
    host.process("0-3", capabilities="000001ffffffefff")
    expect(both(p, host, profile="af_packet", device="net_af_packet0,iface=eth1"))
    expect(both(p, host, profile="tap", device="net_tap0,iface=hb0"),
           ["error: device net_tap0: needs CAP_NET_ADMIN", "setcap cap_net_admin+ep"])
    (host.root / "dev/net/tun").unlink()
    expect(both(p, host, profile="tap", device="net_tap0,iface=hb0"),
           ["error", "no /dev/net/tun", "modprobe tun"], ["error", "CAP_NET_ADMIN"])


# ---- doing -----------------------------------------------------------------------------

DEVBIND = """#!/bin/sh
echo "dpdk-devbind.py $*" >>"$HONGBAO_SYSROOT/calls"
case $1 in
  -b) ln -sfn "../../drivers/$2" "$HONGBAO_SYSROOT/sys/bus/pci/devices/$3/driver" ;;
  -u) rm "$HONGBAO_SYSROOT/sys/bus/pci/devices/$2/driver" ;;
esac
"""
DRIVERCTL = """#!/bin/sh
echo "driverctl $*" >>"$HONGBAO_SYSROOT/calls"
link=$HONGBAO_SYSROOT/sys/bus/pci/devices/$2/driver
case $1 in
  set-override) ln -sfn "../../drivers/$3" "$link" ;;
  unset-override) ln -sfn ../../drivers/ixgbe "$link" ;;
esac
"""
MODPROBE = """#!/bin/sh
echo "modprobe $*" >>"$HONGBAO_SYSROOT/calls"
mkdir -p "$HONGBAO_SYSROOT/sys/bus/pci/drivers/$1"
"""
UPDATE_GRUB = """#!/bin/sh
echo "update-grub" >>"$HONGBAO_SYSROOT/calls"
"""


def tools(p, **scripts):
    """A PATH with these tools and the system's own, but for its sbin."""
    place = p.path("bin")
    place.mkdir(exist_ok=True)
    for name, text in scripts.items():
        file = place / name.replace("_py", ".py").replace("_", "-")
        file.write_text(text)
        file.chmod(0o755)
    return f"{place}:/usr/bin:/bin"


def calls(host):
    path = host.root / "calls"
    return path.read_text().splitlines() if path.exists() else []


def snapshot(host):
    """Every file and link of a host with what is in it, but the tools' own log."""
    return {path: os.readlink(path) if path.is_symlink() else path.read_text()
            for path in host.root.rglob("*")
            if (path.is_symlink() or path.is_file()) and path.name != "calls"}


def nothing_without_apply(p):
    host = fresh(p)
    path = tools(p, dpdk_devbind_py=DEVBIND, modprobe=MODPROBE, update_grub=UPDATE_GRUB)
    host.bind(NIC, "ixgbe")
    shutil.rmtree(host.root / "sys/bus/pci/drivers/vfio-pci")
    before = snapshot(host)
    done = script(p, host.root, "--profile", "ixgbe", "--device", NIC, "--hugepages", "2048,node=0",
                  "--no-iommu", "--isolate", "1-3", "--limits", "show", path=path)
    assert done.returncode == HOST, done
    plan = [line.removeprefix("would run: ") for line in done.stdout.splitlines()]
    nr = f"/sys/devices/system/node/node0/hugepages/{PAGES_2M}/nr_hugepages"
    assert plan[:5] == [f"echo 2048 > {nr}", "modprobe vfio",
                        "echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode",
                        "modprobe vfio-pci", f"dpdk-devbind.py -b vfio-pci {NIC}"], plan
    assert "isolcpus=1-3 nohz_full=1-3" in plan[5] and plan[6] == "update-grub", plan
    assert "memlock unlimited" in plan[7] and len(plan) == 8, plan
    assert snapshot(host) == before and not calls(host)


def bind_and_back(p):
    for tool, there, back in (
            ("devbind", f"dpdk-devbind.py -b vfio-pci {NIC}", f"dpdk-devbind.py -b ixgbe {NIC}"),
            ("driverctl", f"driverctl set-override {NIC} vfio-pci",
             f"driverctl unset-override {NIC}")):
        host = fresh(p)
        path = tools(p, dpdk_devbind_py=DEVBIND, modprobe=MODPROBE)
        if tool == "driverctl":
            path = tools(p, driverctl=DRIVERCTL)
        host.bind(NIC, "ixgbe")
        before = snapshot(host)
        arguments = ("--profile", "ixgbe", "--device", NIC, "--hugepages", "1500,node=0", "--apply")
        for _ in range(2):
            done = script(p, host.root, *arguments, path=path)
            # The second time there is nothing to do.
            assert done.returncode == OK, done
            assert host.driver() == "vfio-pci" and calls(host) == [there], calls(host)
        nr = f"sys/devices/system/node/node0/hugepages/{PAGES_2M}/nr_hugepages"
        assert host.read(nr) == "1500"
        done = script(p, host.root, "--undo", path=path)
        assert done.stdout.splitlines() == [f"would run: {back}", f"would run: echo 1024 > /{nr}"], done
        assert host.driver() == "vfio-pci" and host.read(nr) == "1500"
        assert script(p, host.root, "--undo", "--apply", path=path).returncode == OK
        assert calls(host) == [there, back], calls(host)
        assert snapshot(host) == before
        again = script(p, host.root, "--undo", "--apply", path=path)
        assert again.returncode == OK and "nothing" in again.stderr, again


def unbound_goes_back_to_unbound(p):
    host = fresh(p)
    path = tools(p, dpdk_devbind_py=DEVBIND)
    host.bind(NIC, None)
    script(p, host.root, "--profile", "ixgbe", "--device", NIC, "--apply", path=path)
    assert host.driver() == "vfio-pci"
    assert script(p, host.root, "--undo", "--apply", path=path).returncode == OK
    assert host.driver() is None and calls(host)[-1] == f"dpdk-devbind.py -u {NIC}"
    # Somebody has unbound it since.
    script(p, host.root, "--profile", "ixgbe", "--device", NIC, "--apply", path=path)
    host.bind(NIC, None)
    before = calls(host)
    assert script(p, host.root, "--undo", "--apply", path=path).returncode == OK
    assert calls(host) == before


def the_default_route_stays(p):
    host = fresh(p)
    path = tools(p, dpdk_devbind_py=DEVBIND)
    host.device(NIC, driver="ixgbe", group=7, interface="net/eth0")
    host.write("proc/net/route", ROUTES + "eth0\t00000000\t0100000A\t0003\t0\t0\t0\t00000000\t0\t0\t0")
    done = script(p, host.root, "--profile", "ixgbe", "--device", NIC, "--apply", path=path)
    assert done.returncode == HOST and "default route" in done.stderr, done
    assert host.driver() == "ixgbe" and not calls(host)


def isolation_and_limits(p):
    host = fresh(p)
    path = tools(p, update_grub=UPDATE_GRUB)
    before = snapshot(host)
    for _ in range(2):
        done = script(p, host.root, "--isolate", "1-3", "--limits", "show", "--apply", path=path)
        assert done.returncode == OK, done
        assert calls(host) == ["update-grub"]
    assert host.read("etc/default/grub.d/hongbao.cfg") == \
        'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX isolcpus=1-3 nohz_full=1-3"'
    assert host.read("etc/security/limits.d/hongbao.conf").splitlines() == [
        "show - memlock unlimited", "show - nofile 65536"]
    assert script(p, host.root, "--undo", "--apply", path=path).returncode == OK
    assert calls(host) == ["update-grub", "update-grub"]
    assert snapshot(host) == before


def a_step_that_fails(p):
    host = fresh(p)
    path = tools(p, dpdk_devbind_py="#!/bin/sh\nexit 1\n")
    host.bind(NIC, "ixgbe")
    done = script(p, host.root, "--profile", "ixgbe", "--device", NIC, "--apply", path=path)
    assert done.returncode == FAILED and f"failed: dpdk-devbind.py -b vfio-pci {NIC}" in done.stderr
    assert "--undo" in done.stderr


def others_pages_are_left_alone(p):
    host = fresh(p)
    nr = f"sys/kernel/mm/hugepages/{PAGES_2M}/nr_hugepages"
    assert script(p, host.root, "--hugepages", 1200, "--apply").returncode == OK
    host.write(nr, "1300")
    done = script(p, host.root, "--undo", "--apply")
    assert done.returncode == OK and "left as it is" in done.stderr, done
    assert host.read(nr) == "1300"


def real_hugepages_and_back(p):
    """On this host: two more pages, then as many as before."""
    nr = Path(f"/sys/kernel/mm/hugepages/{PAGES_2M}/nr_hugepages")
    if os.geteuid() != 0 or not os.access(nr, os.W_OK):
        return f"{nr} cannot be written"
    root = p.path("real")
    root.mkdir()
    for name in ("sys", "proc", "dev"):
        (root / name).symlink_to("/" + name)
    before = int(nr.read_text())
    done = script(p, root, "--hugepages", before + 2, "--apply")
    if done.returncode == HOST and "memory is in pieces" in done.stderr:
        script(p, root, "--undo", "--apply")
        return "this host has no memory left in one piece"
    assert done.returncode == OK, done
    assert int(nr.read_text()) == before + 2
    assert script(p, root, "--undo", "--apply").returncode == OK
    assert int(nr.read_text()) == before
    return None


def wrong_command_lines(p):
    host = fresh(p)
    for words, arguments in (
            ("no such option: --nosuch", ["--nosuch"]),
            ("value is missing behind --device", ["--device"]),
            ("--device is missing", ["--profile", "ixgbe"]),
            ("--profile is missing", ["--device", NIC]),
            ("--workers takes 1 to 64, not 0", ["--profile", "x", "--device", NIC, "--workers", "0"]),
            ("--users takes", ["--profile", "x", "--device", NIC, "--users", "1x"]),
            ("--packets takes", ["--profile", "x", "--device", NIC, "--packets", "x"]),
            ("takes a number of pages first, not x", ["--hugepages", "x"]),
            ("size=2M or size=1G, not size=3G", ["--hugepages", "1,size=3G"]),
            ("node=x is no number", ["--hugepages", "1,node=x"]),
            ("--isolate takes CPUs", ["--isolate", "1;reboot"]),
            ("--limits takes the name", ["--limits", "a b"]),
            ("is no name of a profile", ["--profile", "../x", "--device", NIC]),
            ("what is to be looked at", [])):
        done = script(p, host.root, *arguments)
        assert done.returncode == USAGE and words in done.stderr, (arguments, done)
        assert len(done.stderr.splitlines()) == 1 and not done.stdout, done
    done = script(p, host.root, "--profile", "nosuch", "--device", NIC)
    assert done.returncode == CONFIG and "nosuch.yaml" in done.stderr, done
    done = script(p, host.root, "--hugepages", "1,node=5")
    assert done.returncode == HOST and "node5" in done.stderr, done
    assert script(p, host.root, "--help").stdout.startswith("usage: prepare-host.sh")


main([
    a_good_host_says_nothing,
    virtual_devices_say_nothing,
    devices,
    what_is_no_nic_is_not_bound,
    drivers,
    the_kernels_own_driver,
    the_way_in_is_not_taken_away,
    iommu,
    iommu_groups,
    hugepages,
    memory_on_the_wrong_node,
    cpus,
    open_files,
    an_ordinary_user,
    rights_for_virtual_devices,
    nothing_without_apply,
    bind_and_back,
    unbound_goes_back_to_unbound,
    the_default_route_stays,
    isolation_and_limits,
    a_step_that_fails,
    others_pages_are_left_alone,
    real_hugepages_and_back,
    wrong_command_lines,
])
