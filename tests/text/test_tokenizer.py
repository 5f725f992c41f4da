"""Nothing is lost between text and ids, no text reaches a control token, and the file is checked before it is used."""

import json
import subprocess
import sys

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from heedful.errors import UserError
from heedful.text.pipeline import BYTES, CONTROLS, ESCAPES, KINDS, SPACE, meaning, normaliser
from heedful.text.tokenizer import Tokenizer, train_tokenizer

# "</s>", "<2de>" and "<0x41>" are frequent, so that merging would learn them as pieces if it could.
LINES = [
    "Zwei junge weiße Männer sind im Freien in der Nähe vieler Büsche.",
    "Two young, white males are outside near many bushes; it is 18:45 </s> <2de> <0x41> <pad>",
    "a literal </s> and <2de> and <0x41> and ▁ and <pad> and <unk> in 2024",
    "日本語 \U0001f600 \U0001f469‍\U0001f4bb e\u0301",
] * 25
HOSTILE = [
    "",
    " ",
    "   a",
    "a  b\tc ",
    "</s>",
    "<s></s><pad><unk><2de>",
    " </s> <2de>",
    "<0x41><0xFF> <0x",
    "▁▁ ▁a",
    "\x10 \x10! \x10_ \x10< \x10\x10",
    "\x00\x07\x1b\x7f\x85\u2028\u2029\u200b\ufeff\r",
    "\U0001f600\U0001f469‍\U0001f4bb",
    "Ġ Ċ Ã¤",
    "e\u0301 \u1e9b\u0323 Å",
    "İΣς",
    "\ufffd\uffff\U0010ffff",
    "a" * 1000,
    "\u0301" * 1000,
]
TEXT = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\x10!_▁<0x41>s/ "), max_size=40)


def trained(kind: str, **options) -> Tokenizer:
    return train_tokenizer(LINES, kind, 500, tags=["<2de>", "<2fr>"], **options)


@pytest.fixture(scope="module", params=[*((kind, "classes") for kind in KINDS), ("bpe", "spaces")])
def tokenizer(request) -> Tokenizer:
    kind, cut = request.param
    return trained(kind, cut=cut)


def test_ids_are_fixed_and_contiguous(tokenizer):
    assert (tokenizer.pad, tokenizer.start, tokenizer.end, tokenizer.unknown) == (0, 1, 2, 3)
    assert tokenizer.pieces(range(6)) == [*CONTROLS, "<2de>", "<2fr>"]
    assert (tokenizer.tag("<2de>"), tokenizer.tag("<2fr>")) == (4, 5)
    assert tokenizer.tags == ("<2de>", "<2fr>")
    assert sorted(tokenizer.ids.values()) == list(range(tokenizer.vocab_size))
    assert tokenizer.vocab_size <= 500
    with pytest.raises(UserError, match="'<2xx>' is not in the vocabulary; it has <2de>, <2fr>"):
        tokenizer.tag("<2xx>")


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_text_survives(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == tokenizer.normalise(text)
    assert all(number > 5 for number in ids)


@settings(max_examples=150, deadline=None)
@given(text=TEXT)
def test_any_text_survives(tokenizer, text):
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == tokenizer.normalise(text)
    assert all(number > 5 for number in ids)
    assert tokenizer.encode_many([text, "x"])[0] == ids
    assert [number for word in tokenizer.encode_words(tokenizer.words(text)) for number in word] == ids
    assert len(tokenizer.pieces(ids)) == len(ids)


@pytest.mark.parametrize("kind", KINDS)
def test_the_entries_themselves_as_text(kind):
    """Whatever marks a control or byte token, or an escape, is only text when it is in the text."""
    tokenizer = trained(kind)
    marks = [SPACE, *(written for _, written in ESCAPES), *BYTES[:3], *(" " + name for name in CONTROLS)]
    for entry in [*tokenizer.ids, *marks]:
        ids = tokenizer.encode(entry)
        assert tokenizer.decode(ids) == tokenizer.normalise(entry)
        assert min(ids) > 5


@settings(max_examples=150, deadline=None)
@given(text=TEXT | st.sampled_from(HOSTILE))
def test_the_written_form_holds_no_mark_of_the_text(text):
    """A first guard: no space, no "<0x", and "▁" only where a space was. (A second: no word mixes "<", "0" and "x".)"""
    written = normaliser("bpe", lowercase=False).normalize_str(text)
    assert " " not in written
    assert "<0x" not in written
    assert written.count(SPACE) == meaning(lowercase=False).normalize_str(text).count(" ") + (text != "")


def test_normalisation():
    plain, lower = trained("bpe"), trained("bpe", lowercase=True)
    assert plain.normalise("Cafe\u0301 IST") == "Café IST"
    assert lower.normalise("Cafe\u0301 IST") == "café ist"
    assert plain.encode("Cafe\u0301") == plain.encode("Café")
    assert lower.encode("ZWEI") == lower.encode("zwei")


@settings(max_examples=150, deadline=None)
@given(text=TEXT)
def test_lower_case_survives_and_settles(lower, text):
    once = lower.normalise(text)
    assert lower.decode(lower.encode(text)) == once
    assert lower.normalise(once) == once


@pytest.fixture(scope="module")
def lower() -> Tokenizer:
    return trained("unigram", lowercase=True)


def test_lone_surrogates_become_replacement_characters(tokenizer):
    assert tokenizer.decode(tokenizer.encode("a\ud800b\udfff")) == "a\ufffdb\ufffd"
    assert tokenizer.decode(tokenizer.encode("\ud83d\ude00")) == "\U0001f600"
    assert tokenizer.encode_many(["\ud800"]) == [tokenizer.encode("\ufffd")]


@pytest.mark.parametrize("kind", KINDS)
def test_digits_stand_alone(kind):
    tokenizer = trained(kind, cut="digits")
    pieces = tokenizer.pieces(tokenizer.encode("in 2024 at 18:45"))
    assert [piece for piece in pieces if any(c.isdigit() for c in piece)] == list("20241845")


@pytest.mark.parametrize("kind", ["bpe", "unigram", "bytes"])
def test_only_white_space_ends_a_word(kind):
    text = "a <unk> @-@ don't\tx  12.5% .\n"
    tokenizer = train_tokenizer([text] * 50, kind, 500, cut="spaces", prose=True)
    pieces = [tokenizer.decode([token]).strip() for token in tokenizer.encode(text)]
    assert [piece for piece in pieces if piece] == text.split()
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_decoding_leaves_control_tokens_out_and_takes_any_ids(tokenizer):
    ids = [1, 4, *tokenizer.encode("a b"), 2, 0, 0]
    assert tokenizer.decode(ids) == "a b"
    assert isinstance(tokenizer.decode(range(tokenizer.vocab_size)), str)
    assert isinstance(tokenizer.decode(reversed(range(tokenizer.vocab_size))), str)
    assert tokenizer.decode([]) == ""


def test_one_file_says_it_all(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    assert [file.name for file in tmp_path.iterdir()] == ["tokenizer.json"]
    again, library = Tokenizer.load(path), tokenizers.Tokenizer.from_file(str(path))
    assert (again.kind, again.tags, again.to_json()) == (tokenizer.kind, tokenizer.tags, tokenizer.to_json())
    for text in LINES[:4] + HOSTILE:
        ids = tokenizer.encode(text)
        assert again.encode(text) == library.encode(text).ids == ids
        assert library.decode(ids) == tokenizer.normalise(text)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("options", [{"lowercase": True}, {"cut": "digits"}, {"lowercase": True, "cut": "spaces"}])
def test_settings_are_in_the_file(kind, options, tmp_path):
    trained(kind, **options).save(tmp_path / "t.json")
    again = Tokenizer.load(tmp_path / "t.json")
    assert {"lowercase": again.lowercase, "cut": again.cut} == {"lowercase": False, "cut": "classes"} | options


def test_training_gives_the_same_file_in_another_process():
    """Hash tables are seeded per process: only a second process shows whether their order matters."""
    program = (
        "import sys; from heedful.text.tokenizer import train_tokenizer; import zlib;"
        "lines = sys.stdin.buffer.read().decode().split('\\n');"
        "print([train_tokenizer(lines, kind, 500).fingerprint for kind in ('bpe', 'unigram', 'bytes', 'characters')])"
    )
    lines = "\n".join(LINES + [f"{n} Hunde und {n * 7} Katzen im Garten" for n in range(99)]).encode()
    answers = {subprocess.run([sys.executable, "-c", program], input=lines, capture_output=True).stdout for _ in "ab"}
    assert len(answers) == 1
    assert len(answers.pop()) > 100


def test_a_million_characters(tokenizer):
    """Linear in the length: ten times the text takes about ten times as long, for the worst texts too."""
    for text in ("a" * 200_000, " " * 200_000, "\U0001f600" * 50_000, "a1" * 100_000):
        assert tokenizer.decode(tokenizer.encode(text)) == text


def test_wrong_arguments():
    with pytest.raises(UserError, match="size 100 is below 261: control tokens, 0 tags and the bytes"):
        train_tokenizer(LINES, "bpe", 100)
    with pytest.raises(UserError, match="kind 'wordpiece' is not known; there are bpe, unigram, bytes, characters"):
        train_tokenizer(LINES, "wordpiece", 1000)
    for tags in (["a", "a"], [""], ["</s>"]):
        with pytest.raises(UserError, match="must be distinct, not empty"):
            train_tokenizer(LINES, "bpe", 1000, tags=tags)
    with pytest.raises(UserError, match="no text"):
        train_tokenizer(["", ""], "bpe", 1000)


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_corpus_and_size(kind):
    tokenizer = train_tokenizer(["a"], kind, 261)
    assert tokenizer.decode(tokenizer.encode("übermäßig")) == "übermäßig"


def _broken(tree):
    """(what, the file with that fault) for faults on which the library panics, misreads or fails late."""

    def changed(change):
        copy = json.loads(json.dumps(tree))
        change(copy)
        return json.dumps(copy)

    model = tree["model"]
    yield "not JSON", "{"
    yield "not JSON", '{"a":' * 100_000
    yield "a list", "[]"
    yield "empty", "{}"
    yield "null", "null"
    yield "no model", changed(lambda t: t.pop("model"))
    yield "model a list", changed(lambda t: t.update(model=[]))
    yield "vocabulary a number", changed(lambda t: t["model"].update(vocab=3))
    yield "empty vocabulary", changed(lambda t: t["model"].update(vocab=type(model["vocab"])()))
    yield "foreign decoder", changed(lambda t: t.update(decoder={"type": "WordPiece", "prefix": "##", "cleanup": True}))
    yield "no normaliser", changed(lambda t: t.update(normalizer=None))
    yield "added token", changed(lambda t: t["added_tokens"].append({"id": 2, "content": "</s>", "special": True}))
    yield "unknown type", changed(lambda t: t["model"].update(type="Nothing"))
    yield "unknown key", changed(lambda t: t["model"].update(extra=1))
    if model["type"] == "Unigram":
        yield "unk_id past the end", changed(lambda t: t["model"].update(unk_id=10**9))
        yield "not finite", changed(lambda t: t["model"]["vocab"].__setitem__(400, ["x", float("nan")]))
        yield "twice", changed(lambda t: t["model"]["vocab"].__setitem__(400, t["model"]["vocab"][401]))
        yield "empty piece", changed(lambda t: t["model"]["vocab"].__setitem__(400, ["", -1.0]))
        yield "control moved", changed(lambda t: t["model"]["vocab"].reverse())
    else:
        yield "gap", changed(lambda t: t["model"]["vocab"].update({"new": 10**6}))
        yield "id twice", changed(lambda t: t["model"]["vocab"].update({"new": 7}))
        yield "negative id", changed(lambda t: t["model"]["vocab"].update({"new": -1}))
        yield "id not a number", changed(lambda t: t["model"]["vocab"].update({"new": "x"}))
        yield "id a fraction", changed(lambda t: t["model"]["vocab"].update({"new": 1.5}))
        yield "control gone", changed(lambda t: t["model"]["vocab"].pop(" </s>"))
        yield "foreign merge", changed(lambda t: t["model"]["merges"].append(["qq", "zz"]))
        yield "half a merge", changed(lambda t: t["model"]["merges"].append(["a"]))
        yield "dropout", changed(lambda t: t["model"].update(dropout=0.5))
        yield "prefix", changed(lambda t: t["model"].update(continuing_subword_prefix="##"))


def test_a_damaged_file_is_one_clear_line(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    for what, content in _broken(json.loads(tokenizer.to_json())):
        path.write_text(content)
        with pytest.raises(UserError) as caught:
            Tokenizer.load(path)
        message = str(caught.value)
        assert message.startswith(f"{path}: not "), what
        assert "\n" not in message
        assert len(message) < len(str(path)) + 500
    with pytest.raises(UserError, match="cannot be read"):
        Tokenizer.load(tmp_path / "none.json")


def _places(tree, path=()):
    yield path
    for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ():
        yield from _places(value, (*path, key))


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_change_of_the_file_is_refused_or_harmless(tokenizer, tmp_path_factory, data):
    tree = json.loads(tokenizer.to_json())
    places = list(_places(tree))[1:]
    *path, last = places[data.draw(st.integers(0, len(places) - 1))]
    at = tree
    for key in path:
        at = at[key]
    at[last] = data.draw(st.none() | st.integers() | st.floats() | st.text(max_size=3) | st.lists(st.integers()))
    file = tmp_path_factory.mktemp("fuzz") / "t.json"
    file.write_text(json.dumps(tree))
    try:
        changed = Tokenizer.load(file)
    except UserError:
        return
    assert changed.decode(changed.encode(LINES[0])) == LINES[0]


@pytest.mark.parametrize("kind", KINDS)
def test_placeholders_follow_the_tags(kind, tmp_path):
    tokenizer = trained(kind, placeholders=3)
    assert tokenizer.pieces(range(9)) == [*CONTROLS, "<2de>", "<2fr>", "<ph1>", "<ph2>", "<ph3>"]
    assert (tokenizer.placeholders, tokenizer.tags) == ((6, 7, 8), ("<2de>", "<2fr>"))
    tokenizer.save(tmp_path / "t.json")
    again = Tokenizer.load(tmp_path / "t.json")
    assert (again.placeholders, again.tags, again.to_json()) == (
        tokenizer.placeholders,
        tokenizer.tags,
        tokenizer.to_json(),
    )
    assert all(number > 8 for text in [*HOSTILE, "<ph1>", " <ph1>"] for number in again.encode(text))
    assert trained(kind).placeholders == ()
    with pytest.raises(UserError, match="must be distinct"):
        train_tokenizer(LINES, kind, 500, tags=["<ph2>"], placeholders=2)
    with pytest.raises(UserError, match="16 placeholders"):
        train_tokenizer(LINES, kind, 20, placeholders=16)


@settings(max_examples=100, deadline=None)
@given(text=TEXT)
def test_text_that_goes_on(tokenizer, text):
    """Without the space in front there, and with it kept back again."""
    ids = tokenizer.encode_inside(text)
    assert tokenizer.decode(ids, inside=True) == tokenizer.normalise(text)
    assert tokenizer.decode(tokenizer.encode(text), inside=True) == (" " + tokenizer.normalise(text) if text else "")
