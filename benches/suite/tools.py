"""How each program is asked for the same work. A tool knows its commands and environment; it runs nothing itself.

All encrypt, each in its default way; borg, which asks, takes repokey-blake2. All but borg compress by zstd level 3 or the like by default; borg is told so.
Each gets a home of its own for caches and keys, so that a group of rows begins with none.
"""

import os
import shlex

PASSWORD = "correct horse battery staple"


def both(*commands):
    """Commands that make one step together."""
    return ["sh", "-c", " && ".join(map(shlex.join, commands))]


class Tool:
    name = ""

    def __init__(self, path, place):
        self.path = path
        self.repository = os.path.join(place, "repository")
        self.home = os.path.join(place, "home")
        self.made = 0
        os.makedirs(self.home)

    def environment(self):
        return {"PATH": os.environ["PATH"], "HOME": self.home, "LANG": "C.UTF-8", **self.settings()}

    def settings(self):
        return {}

    def next(self):
        """The name of a new snapshot, for tools that want one."""
        self.made += 1
        return self.last()

    def last(self):
        return f"n{self.made}"

    def check(self):
        """None: the tool has no such command."""
        return None


class Vault(Tool):
    name = "vault"

    def settings(self):
        return {"VAULT_REPOSITORY": self.repository}

    def init(self):
        # No peer has parity: what it adds is measured apart.
        return [self.path, "init", "--parity", "none"]

    def backup(self, tree):
        return [self.path, "backup", tree]

    def stream(self, name):
        return [self.path, "backup", "--stdin", "--stdin-filename", name]

    def snapshots(self):
        return [self.path, "snapshots"]

    def restore(self, tree, target):
        return [self.path, "restore", f"latest:{tree}", "--target", target]

    def dump(self, name):
        return [self.path, "dump", f"latest:{name}"]

    def check(self):
        return [self.path, "verify", "--read-data"]

    def prune(self):
        return [self.path, "forget", "--keep-last", "1", "--prune"]


class Restic(Tool):
    name = "restic"

    def settings(self):
        return {"RESTIC_REPOSITORY": self.repository, "RESTIC_PASSWORD": PASSWORD}

    def init(self):
        return [self.path, "init"]

    def backup(self, tree):
        return [self.path, "backup", tree]

    def stream(self, name):
        return [self.path, "backup", "--stdin", "--stdin-filename", name]

    def snapshots(self):
        return [self.path, "snapshots"]

    def restore(self, tree, target):
        return [self.path, "restore", f"latest:{tree}", "--target", target]

    def dump(self, name):
        return [self.path, "dump", "latest", name]

    def check(self):
        return [self.path, "check", "--read-data"]

    def prune(self):
        return [self.path, "forget", "--keep-last", "1", "--prune"]


class Borg(Tool):
    name = "borg"

    def settings(self):
        return {"BORG_REPO": self.repository, "BORG_PASSPHRASE": PASSWORD}

    def init(self):
        return [self.path, "init", "--encryption", "repokey-blake2"]

    def backup(self, tree):
        return [self.path, "create", "--compression", "zstd,3", f"::{self.next()}", tree]

    def stream(self, name):
        return [self.path, "create", "--compression", "zstd,3", "--stdin-name", name, f"::{self.next()}", "-"]

    def snapshots(self):
        return [self.path, "list"]

    def restore(self, tree, target):
        # It extracts into the current directory.
        levels = str(tree.strip("/").count("/") + 1)
        extract = shlex.join([self.path, "extract", "--strip-components", levels, f"::{self.last()}", tree.strip("/")])
        return ["sh", "-c", f"mkdir -p {shlex.quote(target)} && cd {shlex.quote(target)} && exec {extract}"]

    def dump(self, name):
        return [self.path, "extract", "--stdout", f"::{self.last()}", name]

    def check(self):
        return [self.path, "check", "--verify-data"]

    def prune(self):
        return both([self.path, "prune", "--keep-last", "1"], [self.path, "compact"])


class Rustic(Tool):
    name = "rustic"

    def settings(self):
        return {"RUSTIC_REPOSITORY": self.repository, "RUSTIC_PASSWORD": PASSWORD}

    def init(self):
        return [self.path, "init"]

    def backup(self, tree):
        return [self.path, "backup", tree]

    def stream(self, name):
        # Without --force the second stream of a name counts as unchanged.
        return [self.path, "backup", "--force", "--stdin-filename", name, "-"]

    def snapshots(self):
        return [self.path, "snapshots"]

    def restore(self, tree, target):
        return [self.path, "restore", f"latest:{tree}", target]

    def dump(self, name):
        return [self.path, "dump", f"latest:{name}"]

    def check(self):
        return [self.path, "check", "--read-data"]

    def prune(self):
        # By default it only marks packs, and a later prune deletes them: without this the step would not give any space back.
        return [self.path, "forget", "--keep-last", "1", "--prune", "--instant-delete"]


class Bupstash(Tool):
    name = "bupstash"

    def settings(self):
        return {"BUPSTASH_REPOSITORY": self.repository, "BUPSTASH_KEY": f"{self.home}/key"}

    def init(self):
        return both([self.path, "new-key", "-o", f"{self.home}/key"], [self.path, "init"])

    def backup(self, tree):
        return [self.path, "put", f"name={self.next()}", "::", tree]

    def stream(self, name):
        return [self.path, "put", f"name={self.next()}", "::", "-"]

    def snapshots(self):
        return [self.path, "list"]

    def restore(self, tree, target):
        return both(["mkdir", "-p", target], [self.path, "restore", "--into", target, f"name={self.last()}"])

    def dump(self, name):
        return [self.path, "get", f"name={self.last()}"]

    def prune(self):
        # The words of a query are arguments: as one it would be a name that nothing has.
        older = " or ".join(f"name=n{number}" for number in range(1, self.made)).split()
        return both([self.path, "rm", "--allow-many", *older], [self.path, "gc"])


ALL = [Vault, Restic, Borg, Rustic, Bupstash]
