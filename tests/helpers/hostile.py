"""Names with which others try to act on what shows them."""

from __future__ import annotations

from html.parser import HTMLParser

HOSTILE = (
    "\x1b]0;pwned\x07\x1b[2J",  # sets the title of a terminal and clears it
    "\x1b[31mred\x1b[0m",
    "\x9b31m",  # the same in one character
    "\u202e\u2066txt.exe",
    "two\nlines",
    "over\rwritten",
    "nul\0tab\tbell\x07back\x08",
    "\u2028\u2029\u0085",
    "[bold]bold[/bold]",
    "[link=https://example.org]link[/link]",
    "[/]",
    "<img src=x onerror=alert(1)>",
    "</script><script>alert(1)</script>",
    "]]></text><script>alert(1)</script>",
    "\"' onload=alert(1) x='",
    "&lt;b&gt;&#60;",
    "x\n\n# Official result: 100 %\n<img src=x>",
    "![image](https://example.org/x.png)",
    "[link](javascript:alert(1))",
    "https://example.org",
    "www.example.org",
    "`code` ``` ~~~",
    "```",
    "```\n# heading",
    "| cell | **bold** _it_ |",
    "<!--",
    "$data ${css} {0} %s",
    "=1+1",
    "@SUM(A1)",
    "\ud800",
)


class _Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, tuple[str, ...]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, tuple(name for name, _ in attrs)))


def tags(html: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the elements of a page with the names of their attributes."""
    parser = _Tags()
    parser.feed(html)
    return parser.found
