"""Move the news fragments of ``changes/`` into the top section of ``CHANGELOG.md``.

A fragment is a file ``changes/NAME.KIND.md`` with one short line for users; KIND is new, corrected or changed.
``python .ci/collect_news.py`` prints what would be moved, and with ``--move`` it moves it.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
KINDS = {"new": "New", "corrected": "Corrected", "changed": "Changed"}


def fragments(folder: Path) -> dict[Path, tuple[str, str]]:
    """Return the heading and the line of every fragment."""
    news: dict[Path, tuple[str, str]] = {}
    for path in sorted(folder.glob("*.md")):
        if path.name == "README.md":
            continue
        kind = path.name.split(".")[-2]
        lines = path.read_text(encoding="utf-8").splitlines()
        if kind not in KINDS:
            raise SystemExit(f"{path}: the name must end with .{'.md, .'.join(KINDS)}.md")
        if len(lines) != 1 or not lines[0].endswith("."):
            raise SystemExit(f"{path}: a fragment is one line that ends with a full stop")
        news[path] = KINDS[kind], lines[0]
    return news


def with_news(changelog: str, news: dict[Path, tuple[str, str]]) -> str:
    """Return the text of the release notes with all lines of the fragments in its top section."""
    start = changelog.index("\n## ")
    end = changelog.find("\n## ", start + 1)
    end = len(changelog) if end < 0 else end
    section = changelog[start:end].rstrip("\n")
    for heading in KINDS.values():
        lines = "".join(f"* {line}\n" for name, line in news.values() if name == heading)
        mark = f"\n{heading}\n\n"
        if lines and mark not in section:
            section = f"{section.rstrip()}\n{mark}"
        section = section.replace(mark, mark + lines, 1)
    return f"{changelog[:start]}{section.rstrip()}\n{changelog[end:]}"


def main(words: list[str]) -> None:
    """Print or move the news."""
    news = fragments(ROOT / "changes")
    for heading, line in news.values():
        print(f"{heading}: {line}")
    if "--move" in words and news:
        path = ROOT / "CHANGELOG.md"
        path.write_text(with_news(path.read_text(encoding="utf-8"), news), encoding="utf-8")
        for fragment in news:
            fragment.unlink()


if __name__ == "__main__":
    main(sys.argv[1:])
