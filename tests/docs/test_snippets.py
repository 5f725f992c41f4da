"""Every ```python test block of the docs runs, in order, and prints what the page says it prints."""

from __future__ import annotations

import contextlib
import io
import traceback
from pathlib import Path
from typing import Any

import pytest

from .pages import blocks, marked_pages


def run_snippets(page: str, name: str) -> None:
    """Run a page's blocks in one namespace; AssertionError at the first that prints something else. No text block under
    it means that it prints nothing."""
    namespace: dict[str, Any] = {"__name__": name}
    for block in blocks(page, "python"):
        code = compile("\n" * (block.line - 1) + block.source, name, "exec")  # a traceback names the page's line
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert printed.getvalue() == (block.expected or ""), f"{name}:{block.line} prints something else"


@pytest.mark.parametrize("page", marked_pages("python"), ids=lambda page: page.name)
def test_a_page_prints_what_it_says(page: Path) -> None:
    run_snippets(page.read_text("utf-8"), page.name)


def test_the_pages_are_found() -> None:
    assert "what-is-a-transformer.md" in [page.name for page in marked_pages("python")]


GOOD = """# A page

```python test
x = 20
```

Some words.

```python test
print(x + 1)
print(x + 2)
```

```text
21
22
```

```
a diagram
```
"""


def test_blocks_share_a_namespace_and_a_diagram_is_no_output() -> None:
    run_snippets(GOOD, "page")
    assert [(block.line, block.expected) for block in blocks(GOOD, "python")] == [(4, None), (10, "21\n22\n")]
    assert blocks(GOOD, "sh") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("21\n", "20\n"),
        ("21\n", ""),
        ("22\n", "22 \n"),
        ("22\n", "22\n23\n"),
        ("x = 20", "x = 20\nprint(x)"),
        ("x = 20", "x = 21"),
        ("```text", "```"),
        ("```text", "Not under the block.\n\n```text"),
        ("x = 20\n```", "x = 20\n```\n\n```text\n20\n```"),
    ],
)
def test_a_page_that_says_something_else_fails(old: str, new: str) -> None:
    assert GOOD.count(old) == 1
    with pytest.raises(AssertionError, match="prints something else"):
        run_snippets(GOOD.replace(old, new), "page")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("# A page", "```python\ny = 1\n```", "line 1: this block is not marked"),
        ("# A page", "```python tset\ny = 1\n```", "line 1: this block is not marked"),
        ("# A page", "- an item\n\n  ```python test\n  y = 1\n  ```", "indented"),
        ("a diagram\n```\n", "a diagram\n", "line 19: this block has no end"),
    ],
)
def test_no_block_is_left_out_unseen(old: str, new: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        run_snippets(GOOD.replace(old, new), "page")


def test_an_error_names_the_line_of_the_page() -> None:
    with pytest.raises(ZeroDivisionError) as error:
        run_snippets(GOOD.replace("print(x + 2)", "print(x / 0)"), "page.md")
    last = traceback.extract_tb(error.value.__traceback__)[-1]
    assert (last.filename, last.lineno) == ("page.md", 11)
