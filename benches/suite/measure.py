"""Runs one command and measures it: wall clock, CPU of all its processes, peak memory of the largest, and how busy the machine was with other work."""

import collections
import os
import subprocess
import tempfile
import time

Measure = collections.namedtuple("Measure", "wall_seconds cpu_seconds peak_bytes others_cpu_seconds")


class Failed(Exception):
    """The command ended badly; the text holds the end of what it said."""


def run(command, environment, *, cwd="/", stdin=None, pipe=False, wrapper=()):
    """Runs the command with standard input from a file, or, with `pipe`, from a `cat` of that file.

    /usr/bin/time does the counting: it is small, so that what it was before it became the command does not show as the command's memory.
    The clock is ours, as its hundredths are too coarse.
    """
    with tempfile.NamedTemporaryFile("r") as counted, tempfile.TemporaryFile("w+b") as said:
        timed = ["/usr/bin/time", "-q", "-f", "%U %S %M", "-o", counted.name, *wrapper, *command]
        source = open(stdin, "rb") if stdin else subprocess.DEVNULL
        producer = None
        busy = busy_seconds()
        begin = time.perf_counter()
        if pipe:
            producer = subprocess.Popen(["cat"], stdin=source, stdout=subprocess.PIPE)
            child = subprocess.Popen(timed, env=environment, cwd=cwd, stdin=producer.stdout, stdout=said, stderr=said)
            producer.stdout.close()
        else:
            child = subprocess.Popen(timed, env=environment, cwd=cwd, stdin=source, stdout=said, stderr=said)
        child.wait()
        wall = time.perf_counter() - begin
        busy = busy_seconds() - busy
        of_producer = 0.0
        if producer:
            _, status, usage = os.wait4(producer.pid, 0)
            producer.returncode = os.waitstatus_to_exitcode(status)
            of_producer = usage.ru_utime + usage.ru_stime
        if stdin:
            source.close()
        if child.returncode:
            said.seek(max(0, said.tell() - 2000))
            raise Failed(f"{' '.join(command)}: exit {child.returncode}\n{said.read().decode(errors='replace')}")
        user, system, kib = counted.read().split()[-3:]
        cpu = float(user) + float(system)
        return Measure(wall, cpu, int(kib) * 1024, max(0.0, busy - cpu - of_producer))


def busy_seconds():
    """CPU seconds that all cores together have spent at work since the start of the machine; what a host took away (steal) counts, waiting for disks does not."""
    with open("/proc/stat") as stat:
        user, nice, system, _idle, _iowait, irq, softirq, steal = map(int, stat.readline().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def wait_until_idle(patience_seconds):
    """Waits for a second in which other work takes less than a tenth of the machine, for so long at most."""
    end = time.monotonic() + patience_seconds
    while time.monotonic() < end:
        busy = busy_seconds()
        time.sleep(1)
        if busy_seconds() - busy < 0.1 * os.cpu_count():
            return


def stored(repository):
    """Bytes and number of the files of a repository: what a bill would count, no matter how the file system rounds."""
    bytes_, files = 0, 0
    for place, _, names in os.walk(repository):
        for name in names:
            bytes_ += os.lstat(os.path.join(place, name)).st_size
            files += 1
    return bytes_, files


def warm(*paths):
    """Reads everything once, so that no tool pays for the disk that the next one gets for nothing."""
    for path in paths:
        if os.path.isdir(path):
            # tar itself would notice that its output goes nowhere, and read nothing.
            subprocess.run(f"tar -C {path} -cf - . | cat >/dev/null", shell=True, check=True)
        else:
            subprocess.run(f"cat {path} >/dev/null", shell=True, check=True)


def settle():
    """Nobody pays for what the tool before left unwritten."""
    os.sync()
