"""The results: kept as JSON, medians taken, written as tables between two marks of a page."""

import json
import os
import statistics
import time

BEGIN, END = "<!-- compare: begin -->", "<!-- compare: end -->"
MIB = 1 << 20


class Results:
    """Every repetition of every row. Written after each, so that an interrupted run keeps what it has."""

    def __init__(self, path):
        self.path = path
        self.all = {"facts": {}, "rows": {}}
        if os.path.exists(path):
            with open(path) as held:
                self.all = json.load(held)

    def save(self):
        with open(f"{self.path}.new", "w") as out:
            json.dump(self.all, out, indent=1)
        os.rename(f"{self.path}.new", self.path)

    def cell(self, row, tool):
        return self.all["rows"].setdefault(row, {}).setdefault(tool, {"runs": []})

    def forget(self, row):
        self.all["rows"].pop(row, None)

    def runs(self, row):
        """How many runs the row has of the tool that has most."""
        return max((len(cell["runs"]) for cell in self.all["rows"].get(row, {}).values()), default=0)

    def add(self, row, tool, timed, stored_bytes, files):
        run = {**timed._asdict(), "stored_bytes": stored_bytes, "files": files}
        self.cell(row, tool)["runs"].append(run)
        self.save()
        print(f"{time.strftime('%T')} {row:14} {tool:9} {timed.wall_seconds:8.2f} s {timed.cpu_seconds:8.2f} s CPU {timed.peak_bytes / 1e6:7.0f} MB {(stored_bytes or 0) / 1e6:8.1f} MB stored", flush=True)

    def say(self, row, tool, words):
        self.cell(row, tool)["words"] = words
        self.save()

    def requests(self, row, tool, number):
        self.cell(row, tool)["requests"] = number
        self.save()

    def median(self, row, tool, what):
        """None where there is nothing, or where any repetition failed: half a result is none."""
        cell = self.all["rows"].get(row, {}).get(tool, {"runs": []})
        values = [run[what] for run in cell["runs"] if run[what] is not None]
        return None if "words" in cell or not values else statistics.median(values)

    def stored(self, row, tool):
        """Bytes stored after a row, or since another."""
        after, before = self.median(row.key, tool, "stored_bytes"), self.median(row.since, tool, "stored_bytes") if row.since else 0
        return None if after is None or before is None else after - before

    def peers(self, row):
        """The peers that do the same work in a row."""
        return [name for name in self.all["rows"].get(row.key, {}) if name not in ("vault", "reference", *row.apart)]

    def best(self, row, what):
        """The best peer's value and name."""
        values = [(self.stored(row, name) if what == "stored_bytes" else self.median(row.key, name, what), name) for name in self.peers(row)]
        return min([one for one in values if one[0] is not None], default=(None, ""))


def others(results, rows):
    """How much of the machine other work had while a tool ran."""
    cells = [cell for row in rows for cell in results.all["rows"][row.key].values()]
    shares = [run["others_cpu_seconds"] / (run["wall_seconds"] * os.cpu_count()) for cell in cells for run in cell["runs"] if run["wall_seconds"] > 1]
    return f"{statistics.median(shares):.0%} and {max(shares):.0%}" if shares else "an unknown part"


def repetitions(results, rows):
    """How many runs there are of each row: one number, or from the fewest to the most."""
    numbers = {len(cell["runs"]) for row in rows for cell in results.all["rows"][row.key].values() if cell["runs"]}
    return " to ".join(str(number) for number in sorted({min(numbers), max(numbers)})) if numbers else "no"


def seconds(value):
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def megabytes(value):
    return "" if value is None else f"{value / 1e6:,.0f}"


def ratio(ours, theirs, wanted):
    """The ratio; bold where it is worse than wanted."""
    if ours is None or not theirs:
        return ""
    value = ours / theirs
    return f"**{value:.2f}**" if wanted is not None and round(value, 2) > wanted else f"{value:.2f}"


def line(*cells):
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def tables(results, rows):
    facts = results.all["facts"]
    shown = [row for row in rows if row.key in results.all["rows"]]
    out = [
        f"Measured on {facts['date']}, {facts['machine']}. Versions: {facts['versions']}. Corpora: {facts['corpora']}.",
        f"Median of {repetitions(results, shown)} runs, in which other work took {others(results, shown)} of the CPU (median and worst). Seconds of wall clock and MB (decimal) stored, each beside the best peer's; a ratio in bold is worse than wanted.",
        "",
        line("work", "vault s", "best peer s", "ratio", "wanted", "CPU ratio", "vault MB", "best peer MB", "ratio", "wanted", "vault peak MB"),
        line(*["---"] * 11),
    ]
    for row in shown:
        if row.work.startswith("shell:"):
            out.append(line(row.title, "", seconds(results.median(row.key, "reference", "wall_seconds")), "", "", "", "", megabytes(results.median(row.key, "reference", "stored_bytes")), "", "", ""))
            continue
        ours, stored = results.median(row.key, "vault", "wall_seconds"), results.stored(row, "vault")
        best, name = results.best(row, "wall_seconds")
        least, saver = results.best(row, "stored_bytes")
        against = results.median(row.against, "reference", "wall_seconds") if row.against else best
        said = results.all["rows"][row.key].get("vault", {}).get("words", "")
        peak = results.median(row.key, "vault", "peak_bytes")
        out.append(line(
            row.title, said or seconds(ours), f"{seconds(best)} {name}", ratio(ours, against, row.wall_wanted), row.wall_wanted or "",
            ratio(results.median(row.key, "vault", "cpu_seconds"), results.best(row, "cpu_seconds")[0], None),
            megabytes(stored), f"{megabytes(least)} {saver}", ratio(stored, least, row.stored_wanted), row.stored_wanted or "",
            f"**{megabytes(peak)}**" if peak and peak > 100e6 else megabytes(peak),
        ))
    out += ["", "Every tool: seconds of wall clock / of CPU, peak MB of its largest process, MB stored afterwards in how many files" + (", calls." if has_requests(results, shown) else "."), ""]
    names = [tool for tool in ("vault", "restic", "borg", "rustic", "bupstash") if any(tool in results.all["rows"][row.key] for row in shown)]
    out += [line("work", *names), line(*["---"] * (len(names) + 1))]
    for row in shown:
        if not row.work.startswith("shell:"):
            out.append(line(row.title, *[detail(results, row.key, name) for name in names]))
    return "\n".join(out)


def has_requests(results, rows):
    return any("requests" in cell for row in rows for cell in results.all["rows"][row.key].values())


def detail(results, row, tool):
    cell = results.all["rows"][row].get(tool, {})
    if "words" in cell or not cell.get("runs"):
        return cell.get("words", "")
    median = lambda what: results.median(row, tool, what)
    text = f"{seconds(median('wall_seconds'))} / {seconds(median('cpu_seconds'))} s, {megabytes(median('peak_bytes'))} MB, {megabytes(median('stored_bytes'))} MB in {median('files'):,.0f}"
    return text + (f", {cell['requests']:,} calls" if "requests" in cell else "")


def write(page, text):
    """Puts the tables between the page's marks."""
    with open(page) as held:
        before, _, rest = held.read().partition(BEGIN)
    after = rest.partition(END)[2]
    with open(page, "w") as out:
        out.write(f"{before}{BEGIN}\n{text}\n{END}{after}")
