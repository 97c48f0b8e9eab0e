"""Runs one command and measures it: wall clock, CPU of all its processes, peak memory of the largest."""

import collections
import os
import subprocess
import tempfile
import time

Measure = collections.namedtuple("Measure", "wall_seconds cpu_seconds peak_bytes")


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
        begin = time.perf_counter()
        if pipe:
            producer = subprocess.Popen(["cat"], stdin=source, stdout=subprocess.PIPE)
            child = subprocess.Popen(timed, env=environment, cwd=cwd, stdin=producer.stdout, stdout=said, stderr=said)
            producer.stdout.close()
        else:
            child = subprocess.Popen(timed, env=environment, cwd=cwd, stdin=source, stdout=said, stderr=said)
        child.wait()
        wall = time.perf_counter() - begin
        if producer:
            producer.wait()
        if stdin:
            source.close()
        if child.returncode:
            said.seek(max(0, said.tell() - 2000))
            raise Failed(f"{' '.join(command)}: exit {child.returncode}\n{said.read().decode(errors='replace')}")
        user, system, kib = counted.read().split()[-3:]
        return Measure(wall, float(user) + float(system), int(kib) * 1024)


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
