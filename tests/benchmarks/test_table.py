"""docs/results.md holds the kept results, and nothing typed by hand between its marks."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_made_from_the_kept_results(monkeypatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    sys.modules.pop("table", None)
    import table

    page = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    assert table.with_table(page) == page, "run: python benchmarks/table.py --write"
    for path in table.results():
        assert f"`{path.stem}.py`" in page
