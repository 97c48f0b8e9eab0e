"""The data that is backed up: trees, disks, dumps and streams, made once and kept. A corpus that is there is not made again."""

import glob
import os
import random
import shutil
import subprocess
import tempfile

import debian

GIB = 1 << 30
# What the guest gets on the second day; what it has on the first is a small server that can build things.
GUEST_FIRST = "linux-image-amd64,openssh-server,systemd-sysv,python3,build-essential,ca-certificates"
GUEST_LATER = ["nginx", "git", "vim", "postgresql"]
MILLION = 1_000_000


def run(*command, **more):
    subprocess.run(command, check=True, **more)


class Corpora:
    """Where each corpus lies. Every method makes what is missing and returns the paths."""

    def __init__(self, home):
        self.home = os.path.join(home, "corpora")
        os.makedirs(self.home, exist_ok=True)

    def path(self, *names):
        return os.path.join(self.home, *names)

    def _make(self, name, how):
        """Make it under another name first, so that what has the right name is whole."""
        place = self.path(name)
        if not os.path.exists(place):
            print(f"making {name}", flush=True)
            partial = f"{place}.partial"
            subprocess.run(["rm", "-rf", partial], check=True)
            how(partial)
            os.rename(partial, place)
        return place

    def kernels(self):
        """Four kernel source trees: A, then two releases of a younger line, then the newest that Debian has."""
        trees = [self.path(name) for name in "ABCD"]
        if not all(os.path.exists(tree) for tree in trees):
            a = debian.versions(["bookworm"], "linux-source-6.1")
            b = debian.versions(["trixie"], "linux-source-6.12")
            d = debian.versions(["sid", "trixie-backports"], r"linux-source-\d.*")
            # The archive may hold one release of the younger line only; its backport to the release before is another.
            if len(b) < 2:
                b = debian.versions(["trixie", "bookworm-backports"], "linux-source-6.12")
            for name, package in zip("ABCD", [a[-1], b[0], b[-1], d[-1]]):
                self._make(name, lambda place, package=package: kernel(package, place))
        return trees

    def guest(self):
        """A guest's disk on three days."""
        return [self._make(f"guest-{day}.raw", lambda place, day=day: self._guest(day, place)) for day in (1, 2, 3)]

    def _guest(self, day, place):
        if day == 1:
            run("truncate", "-s", "8G", place)
            run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", place)
        else:
            run("cp", "--sparse=always", self.path(f"guest-{day - 1}.raw"), place)
        mounted = tempfile.mkdtemp()
        run("mount", "-o", "loop", place, mounted)
        try:
            [guest_first, guest_second, guest_third][day - 1](mounted)
        finally:
            run("umount", mounted)
            os.rmdir(mounted)

    def dumps(self):
        """A database of pgbench, dumped before and after a day's work."""
        days = [self.path(f"pgbench-{day}.sql") for day in (1, 2)]
        if not all(os.path.exists(day) for day in days):
            print("making pgbench dumps", flush=True)
            pgbench(days)
        return days

    def noise(self):
        """2 GiB that nothing compresses."""
        return self._make("noise.bin", noise)

    def million(self):
        """A million small files in a thousand directories."""
        return self._make("million", million)


def kernel(package, place):
    with tempfile.TemporaryDirectory(dir=os.path.dirname(place)) as unpacked:
        debian.unpack(package, unpacked)
        os.mkdir(place)
        archive = glob.glob(f"{unpacked}/usr/src/linux-source-*.tar.xz")[0]
        run("tar", "-xJf", archive, "-C", place, "--strip-components=1")


def kernel_version(tree):
    with open(os.path.join(tree, "Makefile")) as makefile:
        numbers = [line.split("=")[1].strip() for line in makefile if line.startswith(("VERSION =", "PATCHLEVEL =", "SUBLEVEL ="))]
    return ".".join(numbers[:3])


def guest_first(root):
    run("debootstrap", f"--include={GUEST_FIRST}", "bookworm", root, debian.mirror(), stdout=subprocess.DEVNULL)
    # Services must not start in a guest that does not run.
    with open(f"{root}/usr/sbin/policy-rc.d", "w") as policy:
        policy.write("#!/bin/sh\nexit 101\n")
    os.chmod(f"{root}/usr/sbin/policy-rc.d", 0o755)
    log(root, 200_000)


def guest_second(root):
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run("mount", "-t", "proc", "proc", f"{root}/proc")
    try:
        run("chroot", root, "apt-get", "update", "-q", env=environment, stdout=subprocess.DEVNULL)
        run("chroot", root, "apt-get", "install", "-y", "-q", "--no-install-recommends", *GUEST_LATER, env=environment, stdout=subprocess.DEVNULL)
        run("chroot", root, "apt-get", "clean")
    finally:
        run("umount", f"{root}/proc")
    log(root, 100_000)
    shutil.copytree(f"{root}/usr/share/perl", f"{root}/srv/site", symlinks=True)


def guest_third(root):
    log(root, 20_000)
    shutil.rmtree(f"{root}/srv/site")
    with open(f"{root}/etc/hosts", "a") as hosts:
        hosts.write("192.0.2.7 database\n")
    with open(f"{root}/var/lib/upload.bin", "wb") as upload:
        upload.write(os.urandom(8 << 20))


def log(root, lines):
    """A log that grows: each line is like the others and like none."""
    dice = random.Random(lines)
    os.makedirs(f"{root}/var/log/site", exist_ok=True)
    with open(f"{root}/var/log/site/access.log", "a") as out:
        for number in range(lines):
            out.write(f"192.0.2.{dice.randrange(256)} - - [{lines + number}] \"GET /item/{dice.randrange(10**6)} HTTP/1.1\" 200 {dice.randrange(10**5)}\n")


def pgbench(days):
    binaries = sorted(glob.glob("/usr/lib/postgresql/*/bin"))[-1]
    with tempfile.TemporaryDirectory(dir="/var/tmp") as place:
        shutil.chown(place, "postgres", "postgres")
        data = f"{place}/data"

        def as_postgres(*command, **more):
            # The server refuses root.
            run("runuser", "-u", "postgres", "--", "env", f"PATH={binaries}:/usr/bin:/bin", f"PGHOST={place}", *command, cwd=place, **more)

        as_postgres("initdb", "-D", data, "--auth=trust", stdout=subprocess.DEVNULL)
        quiet = f"-c listen_addresses= -c unix_socket_directories={place} -c fsync=off -c shared_buffers=256MB -c max_wal_size=8GB"
        as_postgres("pg_ctl", "-D", data, "-l", f"{place}/log", "-w", "-o", quiet, "start", stdout=subprocess.DEVNULL)
        try:
            as_postgres("createdb", "bench")
            as_postgres("pgbench", "-q", "-i", "-s", "50", "bench", stderr=subprocess.DEVNULL)
            dump(as_postgres, days[0])
            as_postgres("pgbench", "-c", "2", "-t", "20000", "bench", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            dump(as_postgres, days[1])
        finally:
            as_postgres("pg_ctl", "-D", data, "-m", "fast", "stop", stdout=subprocess.DEVNULL)


def dump(as_postgres, place):
    with open(f"{place}.partial", "wb") as out:
        as_postgres("pg_dump", "bench", stdout=out)
    os.rename(f"{place}.partial", place)


def noise(place):
    with open(place, "wb") as out:
        for _ in range(2 * GIB >> 24):
            out.write(os.urandom(1 << 24))


def million(place):
    dice = random.Random(1)
    words = [f"{dice.randrange(16**6):06x}" for _ in range(4096)]
    for directory in range(MILLION // 1000):
        os.makedirs(f"{place}/{directory:03d}")
        for file in range(1000):
            with open(f"{place}/{directory:03d}/{file:03d}.txt", "w") as out:
                out.write(f"{directory} {file}\n" + " ".join(dice.choices(words, k=dice.randrange(150))))
