"""Packages from the Debian archive, of any suite, whatever release this machine runs: found, checked against the archive's signature, unpacked."""

import hashlib
import lzma
import os
import re
import subprocess
import urllib.request

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
ARCHITECTURE = subprocess.run(["dpkg", "--print-architecture"], capture_output=True, text=True).stdout.strip()
_indexes = {}


def mirror():
    """The archive that apt itself uses."""
    shown = subprocess.run(["apt-get", "indextargets", "--format", "$(REPO_URI) $(LABEL)", "Origin: Debian"], capture_output=True, text=True).stdout
    uris = [line.split()[0] for line in shown.splitlines() if "security" not in line]
    return (uris[0] if uris else "http://deb.debian.org/debian/").rstrip("/")


def fetch(url):
    with urllib.request.urlopen(url, timeout=120) as answer:
        return answer.read()


def index(suite):
    """The packages of a suite: dictionaries of their fields. The index is the one that the suite's signed release file names."""
    if suite not in _indexes:
        base = f"{mirror()}/dists/{suite}"
        name = f"main/binary-{ARCHITECTURE}/Packages.xz"
        # gpgv prints what was signed only if the signature is good.
        release = subprocess.run(["gpgv", "--quiet", "--keyring", KEYRING, "--output", "-"], input=fetch(f"{base}/InRelease"), capture_output=True)
        if release.returncode:
            raise SystemExit(f"{base}/InRelease: no good signature: {release.stderr.decode()}")
        wanted = re.search(rf"^ ([0-9a-f]{{64}}) +\d+ {re.escape(name)}$", release.stdout.decode(), re.M)[1]
        packed = fetch(f"{base}/{name}")
        if hashlib.sha256(packed).hexdigest() != wanted:
            raise SystemExit(f"{base}/{name} is not what the release file names; the mirror may be changing just now")
        text = lzma.decompress(packed).decode()
        _indexes[suite] = [dict(re.findall(r"^([\w-]+): (.*)$", one, re.M)) for one in text.split("\n\n") if one]
    return _indexes[suite]


def older(one, other):
    return subprocess.run(["dpkg", "--compare-versions", one["Version"], "lt", other["Version"]]).returncode == 0


def versions(suites, name):
    """All packages of these suites whose name fits the pattern, oldest first."""
    found = []
    for suite in suites:
        for package in index(suite):
            if re.fullmatch(name, package["Package"]) and package not in found:
                place = next((at for at, other in enumerate(found) if older(package, other)), len(found))
                found.insert(place, package)
    return found


def unpack(package, directory):
    """The package's files into a directory, without installing it: nothing of this machine changes."""
    os.makedirs(directory, exist_ok=True)
    held = os.path.join(directory, os.path.basename(package["Filename"]))
    bytes_ = fetch(f"{mirror()}/{package['Filename']}")
    if hashlib.sha256(bytes_).hexdigest() != package["SHA256"]:
        raise SystemExit(f"{package['Filename']} is not what the index names")
    with open(held, "wb") as out:
        out.write(bytes_)
    subprocess.run(["dpkg-deb", "--extract", held, directory], check=True)
    os.remove(held)


def install(*packages):
    """Packages of this machine's own release, by apt."""
    missing = [one for one in packages if subprocess.run(["dpkg-query", "-W", one], capture_output=True).returncode]
    if missing:
        print("installing", *missing, flush=True)
        environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
        command = ["apt-get", "-o", "DPkg::Lock::Timeout=600", "install", "-y", "-q", "--no-install-recommends", *missing]
        subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
