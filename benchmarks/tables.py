"""Tables in Markdown that programs write between their markers."""


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def between(readme, name):
    """Return the text before, between and after the markers of ``name`` (which are added where they are missing)."""
    begin, end = f"<!-- {name}: begin -->\n", f"<!-- {name}: end -->"
    old = readme.read_text(encoding="utf-8") if readme.exists() else ""
    if begin not in old:
        old += f"\n{begin}{end}\n"
    before, rest = old.split(begin, 1)
    inside, after = rest.split(end, 1)
    return before + begin, inside, end + after


def parse(text):
    """Return the head and the rows of the first table in a text, as lists of cells; both empty where there is none."""
    cells = [
        [c.strip() for c in line.strip().strip("|").split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return (cells[0], cells[2:]) if cells else ([], [])


def read_rows(readme, name):
    """Return the rows of a table as dictionaries by column."""
    head, rows = parse(between(readme, name)[1])
    return [dict(zip(head, row, strict=True)) for row in rows]


def write_table(readme, name, note, head, rows, keys, order=None):
    """Write a table between its markers; rows of another run with other first ``keys`` cells stay.

    ``order`` is the key by which all rows are sorted; without it new rows come last.
    """
    before, inside, after = between(readme, name)
    old, rows_there = parse(inside)
    kept = rows_there if old == list(head) else []
    new = {tuple(str(c) for c in row[:keys]): [str(c) for c in row] for row in rows}
    merged = {tuple(row[:keys]): row for row in kept} | new
    lines = sorted(merged.values(), key=order) if order else merged.values()
    readme.write_text(f"{before}{note}\n\n{table(head, lines)}\n{after}", encoding="utf-8")
