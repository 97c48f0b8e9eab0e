"""Runs the rows: tools take turns, caches are warm, and nothing counts before what was stored is proven to be what was read."""

import pathlib
import dataclasses
import os
import shutil
import subprocess

import measure
import tools

# Calls that ask a store for something when the store is a directory; the ones that only move data within an open file do not count.
REQUESTS = "open,openat,openat2,creat,rename,renameat,renameat2,unlink,unlinkat,link,linkat,mkdir,mkdirat"


def stream_name(row):
    """What a stream is called: the same on every day, with the ending that says what it is."""
    return f"stream{pathlib.Path(row.corpus).suffix}"


class Runner:
    def __init__(self, home, paths, held, results, patience_seconds):
        self.work = os.path.join(home, "work")
        self.paths = paths
        self.corpora = held
        self.results = results
        self.patience_seconds = patience_seconds
        subprocess.run(["rm", "-rf", "--one-file-system", self.work], check=True)
        # The same path for every tree, so that B is what became of A.
        self.tree = os.path.join(self.work, "tree")
        self.target = os.path.join(self.work, "restored")
        self.scratch = os.path.join(self.work, "scratch")
        for place in (self.tree, self.target, self.scratch):
            os.makedirs(place)
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=6G", "tmpfs", self.target], check=True)

    def group(self, name, rows, repetitions, requests, add):
        """All repetitions of one group; its earlier results are forgotten first, unless these add to them."""
        rows = [dataclasses.replace(row, corpus=row.corpus and self.corpora.get(row.corpus)) for row in rows]
        for row in rows:
            if not add:
                self.results.forget(row.key)
        earlier = max(self.results.runs(row.key) for row in rows)
        for repetition in range(earlier, earlier + repetitions):
            self.once(name, rows, repetition, tracing=False)
        if requests:
            self.once(name, rows, 0, tracing=True)

    def once(self, name, rows, repetition, tracing):
        place = os.path.join(self.work, name)
        present = [tool(self.paths[tool.name], os.path.join(place, tool.name)) for tool in tools.ALL if tool.name in self.paths]
        for tool in present:
            subprocess.run(tool.init(), env=tool.environment(), check=True, capture_output=True)
        for row in rows:
            if row.work.startswith("shell:"):
                if not tracing:
                    self.reference(row)
                continue
            # Another order in every repetition: whatever comes in waves hits another tool.
            turn = (repetition + len(row.key)) % len(present)
            for tool in present[turn:] + present[:turn]:
                self.row(tool, row, prove=repetition == 0 and not tracing, tracing=tracing)
        subprocess.run(["rm", "-rf", place], check=True)

    def mount(self, row):
        """Puts the row's tree where all tools look for it; its files keep their inodes and times."""
        subprocess.run(["umount", "--quiet", self.tree])
        if row.corpus and os.path.isdir(row.corpus):
            subprocess.run(["mount", "-o", "bind,ro", row.corpus, self.tree], check=True)

    def reference(self, row):
        self.mount(row)
        if "d.tar.zst" in row.work and not os.path.exists(f"{self.scratch}/d.tar.zst"):
            subprocess.run(f"tar -C {row.corpus} -cf - . | zstd -q -3 -T2 -o {self.scratch}/d.tar.zst", shell=True, check=True)
        self.prepare(row.corpus)
        command = row.work.removeprefix("shell:").format(tree=self.tree, corpus=row.corpus, scratch=self.scratch, target=self.target)
        timed = measure.run(["sh", "-c", command], dict(os.environ))
        made = f"{self.scratch}/a.tar.zst"
        stored = os.stat(made).st_size if row.key == "tar" else None
        self.results.add(row.key, "reference", timed, stored, None)
        if row.key == "tar":
            os.remove(made)
        self.empty_target()

    def prepare(self, read):
        measure.settle()
        measure.wait_until_idle(self.patience_seconds)
        measure.warm(read)

    def command(self, tool, row):
        match row.work:
            case "backup":
                return tool.backup(self.tree)
            case "stream" | "pipe":
                return tool.stream(stream_name(row))
            case "restore":
                return tool.restore(self.tree, f"{self.target}/tree")
            case other:
                return getattr(tool, other)()

    def row(self, tool, row, prove, tracing):
        self.mount(row)
        if row.work == "prune" and tool.name == "vault" and subprocess.run([tool.path, "forget", "--help"], capture_output=True).returncode:
            self.results.say(row.key, tool.name, "not yet")
            return
        command = self.command(tool, row)
        if command is None:
            self.results.say(row.key, tool.name, "no such command")
            return
        # What is read is in memory for everybody: the corpus when backing up, else the repository.
        self.prepare(row.corpus if row.work in ("backup", "stream", "pipe") else tool.repository)
        trace = f"{self.scratch}/trace"
        wrapper = ["strace", "-f", "-qq", "-y", "--seccomp-bpf", "-e", f"trace={REQUESTS}", "-o", trace] if tracing else []
        before_bytes, _ = measure.stored(tool.repository)
        stdin = row.corpus if row.work in ("stream", "pipe") else None
        try:
            timed = measure.run(command, tool.environment(), stdin=stdin, pipe=row.work == "pipe", wrapper=wrapper)
            if tracing:
                self.results.requests(row.key, tool.name, count(trace, tool.repository))
            else:
                self.prove(tool, row, prove)
                if row.work == "prune" and measure.stored(tool.repository)[0] >= before_bytes:
                    raise measure.Failed(f"{tool.name}: {row.title}: nothing was freed")
                self.results.add(row.key, tool.name, timed, *measure.stored(tool.repository))
        except measure.Failed as failure:
            print(failure, flush=True)
            self.results.say(row.key, tool.name, "failed")
        self.empty_target()

    def prove(self, tool, row, streams):
        """What comes back is what went in; a restore always, a stream and what a prune kept in the first repetition."""
        if row.work == "restore":
            differences = compare(row.corpus, f"{self.target}/tree")
        elif streams and row.work == "prune":
            measure.run(tool.restore(self.tree, f"{self.target}/tree"), tool.environment())
            differences = compare(row.corpus, f"{self.target}/tree")
        elif streams and row.work in ("stream", "pipe"):
            with subprocess.Popen(tool.dump(stream_name(row)), env=tool.environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as dump:
                differences = subprocess.run(["cmp", "-", row.corpus], stdin=dump.stdout, capture_output=True, text=True)
                differences = differences.stdout + differences.stderr
            if dump.returncode:
                differences += f"dump: exit {dump.returncode}"
        else:
            return
        if differences:
            raise measure.Failed(f"{tool.name}: {row.title}: not the same:\n{differences[:2000]}")

    def empty_target(self):
        for name in os.listdir(self.target):
            place = os.path.join(self.target, name)
            shutil.rmtree(place) if os.path.isdir(place) and not os.path.islink(place) else os.remove(place)


def compare(source, restored):
    """What rsync would still have to do, contents compared by checksum. The top folder itself is left out: not every tool restores it."""
    command = ["rsync", "-aHAXn", "--checksum", "--itemize-changes", "--delete", "--numeric-ids", "--modify-window=-1", f"{source}/", f"{restored}/"]
    found = subprocess.run(command, check=True, capture_output=True, text=True, errors="replace").stdout
    return "\n".join(line for line in found.splitlines() if not line.endswith(" ./"))


def count(trace, repository):
    """Calls on files of the repository. A call that was interrupted by another thread's begins once only."""
    with open(trace, errors="replace") as lines:
        return sum(repository in line and " resumed>" not in line for line in lines)
