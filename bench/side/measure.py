"""CPU time and memory of a process tree, from /proc: they hold on a noisy machine where throughput does not."""

import os

TICK = os.sysconf("SC_CLK_TCK")


def tree(pid):
    """The process and all its descendants."""
    found, queue = [], [pid]
    while queue:
        one = queue.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as file:
                    queue.extend(int(child) for child in file.read().split())
        except OSError:
            pass
    return sorted(set(found))


def cpu_seconds(pid):
    """User and system time of the tree."""
    total = 0
    for one in tree(pid):
        try:
            with open(f"/proc/{one}/stat") as file:
                fields = file.read().rsplit(")", 1)[1].split()
            total += int(fields[11]) + int(fields[12])
        except OSError:
            pass
    return total / TICK


def pss_mib(pid):
    """Proportional set size of the tree in MiB."""
    return sum(pss_of(one) for one in tree(pid))


def pss_of(pid):
    """Proportional set size of one process in MiB."""
    try:
        with open(f"/proc/{pid}/smaps_rollup") as file:
            return sum(int(line.split()[1]) for line in file if line.startswith("Pss:")) / 1024
    except OSError:
        return 0.0


def program(pid):
    """Name of the program that the process runs."""
    try:
        with open(f"/proc/{pid}/cmdline") as file:
            return os.path.basename(file.read().split("\0")[0])
    except OSError:
        return ""
