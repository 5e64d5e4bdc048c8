# SPDX-License-Identifier: BSD-3-Clause
"""Which CPU does what where there are two."""
import os
import re

# What the kernel calls the interrupts of disks.
DISK = re.compile(r"virtio\d+-req|nvme\d+q|ahci|mpt\d?sas|megasas")


def place_cpus():
    """The control core's CPU, which is the one that took most of the disk's interrupts, so that none holds the
    worker up; and the worker's, the same where there is one alone."""
    cpus = sorted(os.sched_getaffinity(0))
    took = dict.fromkeys(cpus, 0)
    with open("/proc/interrupts", encoding="ascii") as f:
        names = [int(name[3:]) for name in f.readline().split()]
        for line in f:
            if DISK.search(line):
                for cpu, count in zip(names, line.split()[1:]):
                    if cpu in took:
                        took[cpu] += int(count)
    control = max(cpus, key=lambda cpu: took[cpu])
    return control, next((cpu for cpu in cpus if cpu != control), control)
