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
    """Where each corpus lies, by its name: A to D, guest-1.raw to guest-3.raw, pgbench-1.sql, pgbench-2.sql, noise.bin, million."""

    def __init__(self, home):
        self.home = os.path.join(home, "corpora")
        os.makedirs(self.home, exist_ok=True)

    def path(self, *names):
        return os.path.join(self.home, *names)

    def get(self, name):
        """The path of a corpus, made first if it is missing: under another name, so that what has the right name is whole."""
        place = self.path(name)
        if not os.path.exists(place):
            print(f"making {name}", flush=True)
            partial = f"{place}.partial"
            subprocess.run(["rm", "-rf", partial], check=True)
            if name in KERNELS:
                kernel(KERNELS[name](), partial)
            elif name.startswith("guest-"):
                self._guest(int(name[6]), partial)
            elif name.startswith("pgbench-"):
                # One database makes both, as the second day follows from the first.
                pgbench([self.path(f"pgbench-{day}.sql") for day in (1, 2)])
                return place
            else:
                {"noise.bin": noise, "million": million}[name](partial)
            os.rename(partial, place)
        return place

    def _guest(self, day, place):
        """A guest's disk on one of three days."""
        if day == 1:
            run("truncate", "-s", "8G", place)
            run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", place)
        else:
            run("cp", "--sparse=always", self.get(f"guest-{day - 1}.raw"), place)
        mounted = tempfile.mkdtemp()
        run("mount", "-o", "loop", place, mounted)
        try:
            [guest_first, guest_second, guest_third][day - 1](mounted)
        finally:
            run("umount", mounted)
            os.rmdir(mounted)


def younger_line():
    """Two releases of Linux 6.12: the archive may hold one only, but then the backport to the release before is another."""
    found = debian.versions(["trixie"], "linux-source-6.12")
    return found if len(found) > 1 else debian.versions(["trixie", "bookworm-backports"], "linux-source-6.12")


# Four kernel source trees: an old line, two releases of a younger one, and the newest that Debian has.
KERNELS = {
    "A": lambda: debian.versions(["bookworm"], "linux-source-6.1")[-1],
    "B": lambda: younger_line()[0],
    "C": lambda: younger_line()[-1],
    "D": lambda: debian.versions(["sid", "trixie-backports"], r"linux-source-\d.*")[-1],
}


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
    """A database of pgbench, dumped before and after a day's work."""
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
    """2 GiB that nothing compresses."""
    with open(place, "wb") as out:
        for _ in range(2 * GIB >> 24):
            out.write(os.urandom(1 << 24))


def million(place):
    """A million small files in a thousand directories."""
    dice = random.Random(1)
    words = [f"{dice.randrange(16**6):06x}" for _ in range(4096)]
    for directory in range(MILLION // 1000):
        os.makedirs(f"{place}/{directory:03d}")
        for file in range(1000):
            with open(f"{place}/{directory:03d}/{file:03d}.txt", "w") as out:
                out.write(f"{directory} {file}\n" + " ".join(dice.choices(words, k=dice.randrange(150))))
