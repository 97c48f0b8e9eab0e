"""What is measured: groups of rows. The rows of a group run in order on one repository a tool; the tools take turns at every row."""

import dataclasses


@dataclasses.dataclass
class Row:
    key: str
    title: str
    # One of backup, stream, pipe, snapshots, restore, check, prune, or shell for a reference.
    work: str
    # The corpus that is read, and what it is shown as: a tree is mounted on the path that the snapshots name.
    corpus: str = ""
    # vault over the best peer: at most this, for wall clock and for stored bytes. None: nothing was promised.
    wall_wanted: float | None = None
    stored_wanted: float | None = None
    # Compare with this reference row instead of the peers.
    against: str = ""


TREE = 0.60
UNCHANGED = 0.60


def groups(corpora, chosen, quick):
    """Every group's name and rows; making a corpus is left until its group is chosen."""
    makers = {"trees": trees, "guest": guest, "pipe": pipe, "noise": noise, "dumps": dumps, "million": million}
    wanted = chosen or [name for name in makers if not (quick and name in BIG)]
    return {name: makers[name](corpora) for name in makers if name in wanted}


BIG = {"noise", "million"}
NAMES = ["trees", "guest", "pipe", "noise", "dumps", "million"]


def trees(corpora):
    a, b, c, d = corpora.kernels()
    return [
        Row("tar", "reference: tar A, zstd -3 -T2", "shell:tar -cf - {tree} | zstd -q -3 -T2 -o {scratch}/a.tar.zst", a),
        Row("walk", "reference: walk A with stat", "shell:du -s {tree}", a),
        Row("first-a", "kernel A, first", "backup", a, TREE, 1.03),
        Row("again-a", "kernel A, unchanged", "backup", a, UNCHANGED),
        Row("snapshots", "list the snapshots", "snapshots"),
        Row("b", "then kernel B", "backup", b, TREE),
        Row("c", "then kernel C", "backup", c, TREE),
        Row("d", "then kernel D", "backup", d, TREE, 0.84),
        Row("restore-d", "restore D to tmpfs", "restore", d, 0.50),
        Row("untar", "reference: untar D to tmpfs", "shell:zstd -qdc {scratch}/d.tar.zst | tar -x -C {target}", d),
        Row("check", "read and check all", "check", "", 0.40),
        Row("prune", "forget all but the last, prune", "prune", "", 0.60),
    ]


def guest(corpora):
    days = corpora.guest()
    stored = [1.05, 0.95, 0.92]
    return [Row(f"guest-{day + 1}", f"guest disk, redirected, day {day + 1}", "stream", days[day], 0.30, stored[day]) for day in range(3)]


def pipe(corpora):
    disk = corpora.guest()[0]
    return [
        Row("cat", "reference: cat disk through a pipe to wc", "shell:cat {corpus} | wc -c", disk),
        Row("pipe", "guest disk through a pipe, day 1 (ratio: to cat and wc)", "pipe", disk, 1.3, None, "cat"),
    ]


def noise(corpora):
    file = corpora.noise()
    return [
        Row("noise", "2 GiB incompressible, stdin", "stream", file, 0.50),
        Row("noise-again", "the same again", "stream", file, 0.50),
    ]


def dumps(corpora):
    first, second = corpora.dumps()
    return [
        Row("dump", "pg_dump of pgbench, stdin", "stream", first),
        Row("dump-next", "the next day's", "stream", second),
    ]


def million(corpora):
    tree = corpora.million()
    return [
        Row("million", "a million small files, first", "backup", tree, TREE),
        Row("million-again", "the same, unchanged", "backup", tree, UNCHANGED),
    ]
