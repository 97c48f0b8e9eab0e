"""What is measured: groups of rows. The rows of a group run in order on one repository a tool; the tools take turns at every row."""

import dataclasses


@dataclasses.dataclass
class Row:
    key: str
    title: str
    # One of backup, stream, pipe, snapshots, restore, check, prune; or `shell:` and the command of a reference.
    work: str
    # The name of the corpus that is read, or that the last snapshot holds.
    corpus: str = ""
    # vault over the best peer: at most this, for wall clock and for stored bytes. None: nothing was promised.
    wall_wanted: float | None = None
    stored_wanted: float | None = None
    # Compare with this reference row instead of the peers.
    against: str = ""
    # Compare what was stored since this row, not all that is stored.
    since: str = ""
    # Peers that do something else here: shown, and no ratio is taken to them.
    apart: tuple[str, ...] = ()


TREE = 0.60
UNCHANGED = 0.60
NOISE = 0.50
DISK = 0.30

GROUPS = {
    "trees": [
        Row("tar", "reference: tar A, zstd -3 -T2", "shell:tar -C {tree} -cf - . | zstd -q -3 -T2 -o {scratch}/a.tar.zst", "A"),
        Row("walk", "reference: walk A with stat", "shell:du -s {tree}", "A"),
        Row("first-a", "kernel A, first", "backup", "A", TREE, 1.03),
        Row("again-a", "kernel A, unchanged", "backup", "A", UNCHANGED),
        Row("snapshots", "list the snapshots", "snapshots"),
        Row("b", "then kernel B", "backup", "B", TREE),
        Row("c", "then kernel C", "backup", "C", TREE),
        Row("d", "then kernel D", "backup", "D", TREE, 0.84),
        Row("restore-d", "restore D to tmpfs", "restore", "D", 0.50),
        Row("untar", "reference: untar D to tmpfs", "shell:zstd -qdc {scratch}/d.tar.zst | tar -x -C {target}", "D"),
        Row("check", "read and check all", "check", "", 0.40),
        Row("prune", "forget all but the last, prune", "prune", "D", 0.60, apart=("bupstash",)),
    ],
    "guest": [
        Row("guest-1", "guest disk, redirected, day 1", "stream", "guest-1.raw", DISK, 1.05),
        Row("guest-2", "guest disk, redirected, day 2", "stream", "guest-2.raw", DISK, 0.95, since="guest-1"),
        Row("guest-3", "guest disk, redirected, day 3", "stream", "guest-3.raw", DISK, 0.92, since="guest-2"),
    ],
    "pipe": [
        Row("cat", "reference: guest disk, cat to wc", "shell:cat {corpus} | wc -c", "guest-1.raw"),
        Row("pipe", "guest disk through a pipe, day 1 (ratio to cat and wc)", "pipe", "guest-1.raw", 1.3, against="cat"),
    ],
    "noise": [
        Row("noise", "2 GiB incompressible, stdin", "stream", "noise.bin", NOISE),
        Row("noise-again", "the same again", "stream", "noise.bin", NOISE),
    ],
    "dumps": [
        Row("dump-1", "pg_dump of pgbench, stdin", "stream", "pgbench-1.sql"),
        Row("dump-2", "the next day's", "stream", "pgbench-2.sql"),
    ],
    "million": [
        Row("million", "a million small files, first", "backup", "million", TREE),
        Row("million-again", "the same, unchanged", "backup", "million", UNCHANGED),
    ],
}
# What --quick leaves out.
BIG = ["noise", "million"]
