"""The page of an evaluation: every text is text, nothing comes from outside, and its buttons filter."""

import re
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from measure.examples import references, spoiled

from heedful.measure.evaluation import evaluate
from heedful.measure.metrics import Options
from heedful.measure.words import count_words
from heedful.page.comparison import comparison_page
from heedful.page.sentences import MOST_SENTENCES

from .reading import read

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCRIPT = "alert(1)"
HOSTILE = [
    *(f"<{tag}>{SCRIPT}</{tag}>" for tag in ("script", "style", "title", "textarea", "noscript", "template", "svg")),
    *(f"</{tag}><script>{SCRIPT}</script>" for tag in ("script", "style", "title", "li", "dl", "section", "svg")),
    *(f'"{event}="{SCRIPT}"' for event in (" onload", " onerror", " onclick", "/onfocus", "\tonmouseover")),
    *(f"<img src={source} onerror={SCRIPT}>" for source in ("x", "//evil.example/a", "data:,", "`x`")),
    *(f"<a href={scheme}>x</a>" for scheme in ("javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,<b>")),
    *(f"<{tag} src=https://evil.example>" for tag in ("iframe", "embed", "video", "audio", "script", "object")),
    "<link rel=stylesheet href=https://evil.example/x.css>",
    "<meta http-equiv=refresh content=0;url=https://evil.example>",
    "<base href=https://evil.example>",
    "<form action=https://evil.example><button>go</button></form>",
    "<style>*{background:url(https://evil.example)}</style>",
    "<svg><animate onbegin=alert(1) attributeName=x></svg>",
    "<details open ontoggle=alert(1)>",
    "<input autofocus onfocus=alert(1)>",
    "<!--><script>alert(1)</script>-->",
    "<![CDATA[<script>alert(1)</script>]]>",
    "&lt;script&gt;alert(1)&lt;/script&gt;",
    "&#60;script&#62;",
    "{{constructor.constructor('alert(1)')()}} ${alert(1)} <%= alert(1) %>",
    "'-alert(1)-' `${alert(1)}`",
    "\u202ealert\u202c \u2066x\u2069 \u200f",
    "\ufeff<script>\u2028alert(1)\u2029</script>",
    "<scr\x00ipt>alert(1)</scr\x00ipt>",
    "\ud800<script>alert(1)</script>",
    "=cmd|' /C calc'!A0",
    "שלום <b>עולם</b> مرحبا",
]  # fmt: skip
# What the page is made of. A set of its own, so that a new element has to be meant.
TAGS = {
    *("html", "head", "meta", "title", "style", "body", "main", "header", "footer", "section", "h1", "h2", "p", "div"),
    *("span", "b", "i", "u", "mark", "small", "code", "table", "thead", "tbody", "tr", "th", "td", "dl", "dt", "dd"),
    *("ol", "li", "figure", "figcaption", "fieldset", "legend", "label", "input"),
    *("svg", "line", "path", "circle", "rect", "text"),
}
ATTRIBUTES = {
    *("lang", "charset", "http-equiv", "content", "name", "class", "scope", "role", "aria-label", "dir", "title"),
    *("type", "checked", "width", "height", "viewbox", "x", "y", "x1", "x2", "y1", "y2", "d", "cx", "cy", "r", "rx"),
    "text-anchor",
}


def hostile_page():
    count = len(HOSTILE)
    turned = [HOSTILE[(number + 7) % count] for number in range(count)]
    others = [HOSTILE[(number + 19) % count] for number in range(count)]
    systems = {HOSTILE[8]: turned, HOSTILE[16]: others}
    return comparison_page(evaluate([HOSTILE], systems, source=HOSTILE, counts=count_words(HOSTILE), resamples=50))


def ordinary_page(systems=2, lines=300, options=None):
    made = references(lines)
    names = ["first", "second, with a long name of its own", "third"]
    spoils = {name: spoiled(made, 0.2 + 0.1 * number, number) for number, name in enumerate(names[:systems])}
    counts = count_words(references(200, seed=4))
    return comparison_page(evaluate([made], spoils, source=made, counts=counts, options=options, resamples=100))


def items(page):
    return re.findall(r'<li class="(\w*) words(\d)">', page)


def test_hostile_text_stays_text():
    assert len(HOSTILE) >= 50
    page = hostile_page()
    page.encode()
    reader = read(page)
    assert reader.tags <= TAGS
    assert reader.attributes <= ATTRIBUTES
    shown = "".join(reader.text)
    assert shown.count("<script>alert(1)</script>") >= 30
    for payload in HOSTILE:
        seen = re.sub(r"[\x00\u2028\u2029\ufeff\u202e\u202c\u2066\u2069\u200f\ud800]", "", payload)
        assert " ".join(seen.split()) in re.sub(r"⟨U\+[0-9A-F]{4}⟩", "", shown), payload


def test_policy_allows_one_style_sheet_and_no_script():
    page = hostile_page()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "script-src" not in policy
    assert "unsafe" not in policy
    style = re.search(r"<style>(.*?)</style>", page, re.DOTALL)[1]
    assert "url(" not in style
    assert "@import" not in style


def test_as_many_sentences_as_promised_largest_change_first():
    page = ordinary_page()
    shown = items(page)
    assert len(shown) == MOST_SENTENCES == page.count("<li ")
    kinds = [kind for kind, _ in shown]
    told = re.search(r"in (\d+) of 300 lines, less in (\d+), and .* Shown: (\d+) that gained, (\d+) that lost", page)
    gained, lost, up, down = map(int, told.groups())
    assert (kinds.count("gained"), kinds.count("lost")) == (up, down)
    assert up == gained < MOST_SENTENCES // 2 < down < lost  # what one half cannot fill, the other does
    changes = [float(text.replace("−", "-")) for text in re.findall(r"<b>([+−][\d.]+) chrF2</b>", page)]
    assert [abs(change) for change in changes] == sorted(map(abs, changes), reverse=True)
    assert all((change > 0) == (kind == "gained") for change, kind in zip(changes, kinds, strict=True))


def test_half_of_the_sentences_gained_where_there_are_enough():
    made = references(600)
    page = comparison_page(evaluate([made], {"a": spoiled(made, 0.5, 1), "b": spoiled(made, 0.5, 2)}, resamples=5))
    kinds = [kind for kind, _ in items(page)]
    assert kinds.count("gained") == kinds.count("lost") == MOST_SENTENCES // 2


def test_several_systems_share_the_sentences():
    page = ordinary_page(systems=3)
    assert len(items(page)) == MOST_SENTENCES
    assert page.count("<h2>Sentences: ") == 2
    assert "3 systems compared" in page


def test_one_system_shows_its_lowest_lines():
    page = ordinary_page(systems=1)
    assert "The 200 with the lowest chrF2" in page
    assert "How well first translates" in page
    assert "Differences from" not in page


def test_equal_systems_have_no_sentences():
    made = references(20)
    page = comparison_page(evaluate([made], {"a": made, "b": made}, resamples=20))
    assert "in 0 of 20 lines, less in 0, and as much in 20" in page
    assert "not told apart" in page
    assert "<ol>" not in page


def test_signatures_and_notes_are_on_the_page():
    page = ordinary_page(lines=50, options=Options(ter=True, lowercase=True))
    shown = "".join(read(page).text)
    assert "nrefs:1|case:lc|eff:no|tok:13a|smooth:exp" in shown
    assert "nrefs:1|case:lc|tok:tercom" in shown
    assert "Note: only 50 lines: intervals" in shown


LINES = st.lists(st.tuples(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30)), min_size=1, max_size=4)


def check_any_page(rows, name):
    first, second, reference = map(list, zip(*rows, strict=True))
    reader = read(comparison_page(evaluate([reference], {name: first, name + "'": second}, resamples=5)))
    assert reader.tags <= TAGS
    assert reader.attributes <= ATTRIBUTES


@given(LINES, st.text(max_size=20))
def test_any_text_gives_a_page(rows, name):
    check_any_page(rows, name)


@pytest.mark.slow
@settings(max_examples=3000)
@given(LINES, st.text(max_size=20))
def test_much_text_gives_a_page(rows, name):
    check_any_page(rows, name)


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        pytest.skip("no chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="the package playwright is not installed")
    with playwright.sync_playwright() as running:
        launched = running.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield launched
        launched.close()


def visit(browser, path, text):
    """The page opened from its file; whatever it asks for, says or alerts is collected."""
    path.write_bytes(text.encode())
    page = browser.new_page()
    page.happened = []
    page.on("console", lambda message: page.happened.append(message.text))
    page.on("pageerror", lambda error: page.happened.append(str(error)))
    page.on("dialog", lambda dialog: page.happened.append(dialog.message))
    page.on("request", lambda request: page.happened.append(request.url))
    page.goto(path.as_uri())
    return page


def test_hostile_page_in_a_browser(browser, tmp_path):
    page = visit(browser, tmp_path / "page.html", hostile_page())
    assert page.happened == [(tmp_path / "page.html").as_uri()]
    assert page.locator(f"*:not({','.join(TAGS)})").count() == 0
    page.close()


def test_buttons_filter_in_a_browser(browser, tmp_path):
    text = ordinary_page()
    shown = items(text)
    page = visit(browser, tmp_path / "page.html", text)
    visible = page.locator(".sentences li:visible")
    assert visible.count() == len(shown)
    page.get_by_label(re.compile(r"^gained")).check()
    assert visible.count() == sum(kind == "gained" for kind, _ in shown)
    page.get_by_label("6-10", exact=True).check()
    assert visible.count() == shown.count(("gained", "2"))
    page.get_by_label("all", exact=True).nth(0).check()
    assert visible.count() == sum(words == "2" for _, words in shown)
    assert page.happened == [(tmp_path / "page.html").as_uri()]
    page.close()


@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_sticks_out(browser, tmp_path, width):
    page = visit(browser, tmp_path / "page.html", ordinary_page(systems=3, lines=40))
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.close()
