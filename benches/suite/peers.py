"""The programs to compare with: installed from packages into a directory of their own, their versions told by themselves."""

import json
import os
import subprocess
import sys

import debian

# Where the newest release is to be had, and the one to fall back to. Debian's unstable restic needs no newer C library than Debian 12 has.
RESTIC_SUITES = ["bookworm", "trixie", "sid"]
CRATES = {"rustic": "rustic-rs", "bupstash": "bupstash"}
BUILD_TOOLS = ["build-essential", "pkg-config", "python3-venv", "libsodium-dev", "libacl1-dev", "liblz4-dev", "libssl-dev", "libxxhash-dev", "libzstd-dev"]


def install(home, wanted):
    """The path of every wanted peer by its name. What is there already is not installed again; what cannot be had is left out, in words."""
    paths = {
        "restic": f"{home}/peers/restic/usr/bin/restic",
        "borg": f"{home}/peers/borg/bin/borg",
        "rustic": f"{home}/peers/cargo/bin/rustic",
        "bupstash": f"{home}/peers/cargo/bin/bupstash",
    }
    paths = {name: path for name, path in paths.items() if name in wanted}
    makers = {"restic": restic, "borg": borg, "rustic": crate, "bupstash": crate}
    if not all(map(os.path.exists, paths.values())):
        debian.install(*BUILD_TOOLS)
    for name, path in paths.items():
        if not os.path.exists(path):
            print(f"installing {name}", flush=True)
            try:
                makers[name](name, f"{home}/peers")
            except (subprocess.CalledProcessError, OSError, SystemExit) as error:
                print(f"{name} cannot be installed: {error}", file=sys.stderr)
    return {name: path for name, path in paths.items() if os.path.exists(path)}


def restic(name, peers):
    debian.unpack(debian.versions(RESTIC_SUITES, name)[-1], f"{peers}/{name}")
    subprocess.run([f"{peers}/{name}/usr/bin/restic", "version"], check=True, capture_output=True)


def borg(name, peers):
    subprocess.run(["python3", "-m", "venv", f"{peers}/{name}"], check=True)
    subprocess.run([f"{peers}/{name}/bin/pip", "install", "--quiet", "borgbackup"], check=True)


def crate(name, peers):
    environment = dict(os.environ, CARGO_TARGET_DIR=f"{peers}/cargo-target")
    subprocess.run(["nice", "cargo", "install", "--quiet", "--locked", "--root", f"{peers}/cargo", CRATES[name]], check=True, env=environment)


def vault(repository):
    """The release build of this tree."""
    subprocess.run(["cargo", "build", "--release", "--quiet", "--package", "vault-cli"], check=True, cwd=repository)
    shown = subprocess.run(["cargo", "metadata", "--format-version", "1", "--no-deps"], check=True, cwd=repository, capture_output=True, text=True)
    return json.loads(shown.stdout)["target_directory"] + "/release/vault"


def version(path, name):
    """What the program says of itself, shortened to its number."""
    shown = subprocess.run([path, "version" if name == "restic" else "--version"], capture_output=True, text=True).stdout
    return next((word.lstrip("v") for word in shown.replace("bupstash-", "").split() if word.lstrip("v")[:1].isdigit()), shown.strip())
