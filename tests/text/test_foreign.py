"""Foreign tokenizers give the ids and offsets that their originals give, for any text, and their own files back."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import sentencepiece
import tokenizers
import transformers
import xxhash
from foreign_examples import HOSTILE, LINES, SPELT, byte_level, sentencepieces, unigram_json, wordpiece, write
from tokenizers import AddedToken

from heedful.data.windows import contexts_of
from heedful.errors import UserError
from heedful.text import foreign_files
from heedful.text.foreign import Foreign
from heedful.text.foreign_files import read
from heedful.text.offsets import offsets
from heedful.text.pipeline import without_surrogates
from heedful.text.segmentations import Segmentations
from heedful.text.spelling import Speller, spell
from heedful.text.tokenizer import Tokenizer

TRY_OUT = foreign_files.try_out
ROBERTA = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


@pytest.fixture(scope="module", autouse=True)
def in_this_process() -> Iterator[None]:
    """A process for each of these tokenizers takes a while: those for which one is needed ask for `apart`."""
    foreign_files.try_out = foreign_files.tried
    yield
    foreign_files.try_out = TRY_OUT


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(foreign_files, "try_out", TRY_OUT)


class Example(NamedTuple):
    """A foreign tokenizer, its original's ids and offsets, and the folder it was read from."""

    own: Foreign
    ids: Callable[[str], list[int]]
    places: Callable[[str], list[tuple[int, int]]]
    folder: Path


def peer(kind: Any, folder: Path, **options: Any) -> Example:
    """A class of transformers as the original."""
    original = kind.from_pretrained(folder)
    asked = lambda text: original(text, add_special_tokens=False, return_offsets_mapping=True)
    return Example(
        read(folder, **options), lambda t: asked(t)["input_ids"], lambda t: asked(t)["offset_mapping"], folder
    )


def again(kind: Any, folder: Path, **options: Any) -> Example:
    """The same as transformers 5 writes it: tokenizer.json."""
    kind.from_pretrained(folder).save_pretrained(folder.with_name("again"))
    found = peer(kind, folder.with_name("again"), **options)
    assert found.own.way.reader == "tokenizers"
    return found


def bert(folder: Path, lowercase: bool = True) -> Path:
    return write(folder, vocab__txt=wordpiece(lowercase), tokenizer_config__json={"do_lower_case": lowercase})


def roberta(folder: Path, prefix: bool = False) -> Path:
    return write(folder, **byte_level(ROBERTA), tokenizer_config__json={"add_prefix_space": prefix})


def piece(folder: Path, name: str, **options: Any) -> Path:
    return write(folder, **{name.replace(".", "__"): sentencepieces(**options)})


T5 = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1}
FAIRSEQ = "sentencepiece.bpe.model"
EXAMPLES: dict[str, Callable[[Path], Example]] = {
    "bert": lambda at: peer(transformers.BertTokenizer, bert(at)),
    "bert cased": lambda at: peer(transformers.BertTokenizer, bert(at, lowercase=False)),
    "bert json": lambda at: again(transformers.BertTokenizer, bert(at)),
    "gpt2": lambda at: peer(transformers.GPT2Tokenizer, write(at, **byte_level(["<|endoftext|>"]))),
    "gpt2 json": lambda at: again(transformers.GPT2Tokenizer, write(at, **byte_level(["<|endoftext|>"]))),
    "roberta": lambda at: peer(transformers.RobertaTokenizer, roberta(at)),
    "roberta spaced": lambda at: peer(transformers.RobertaTokenizer, roberta(at, prefix=True)),
    "roberta json": lambda at: again(transformers.RobertaTokenizer, roberta(at)),
    "clip": lambda at: peer(
        transformers.CLIPTokenizer, write(at, **byte_level(["<|startoftext|>", "<|endoftext|>"], "</w>"))
    ),
    "t5 json": lambda at: again(transformers.T5Tokenizer, piece(at, "spiece.model", **T5)),
    "xlm-r json": lambda at: again(transformers.XLMRobertaTokenizer, piece(at, FAIRSEQ)),
    "mbart50 json": lambda at: again(transformers.MBart50Tokenizer, piece(at, FAIRSEQ)),
    "nllb json": lambda at: again(transformers.NllbTokenizer, piece(at, FAIRSEQ, model_type="bpe", vocab_size=300)),
}


@pytest.fixture(scope="module", params=list(EXAMPLES))
def example(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Example:
    return EXAMPLES[request.param](tmp_path_factory.mktemp("example") / "original")


def test_ids_and_offsets_are_the_originals(example: Example) -> None:
    for text in HOSTILE:
        clean, ids = without_surrogates(text), example.own.encode(text)
        assert ids == example.ids(clean), text
        starts, ends = offsets(example.own, text, ids)
        assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == example.places(clean), text
    assert example.own.encode_many(HOSTILE) == [example.own.encode(text) for text in HOSTILE]


def test_any_text(example: Example) -> None:
    drawn = random.Random(1)
    parts = [*"".join(LINES), *SPELT, "  ", "\u0301", "\u1100\u1161", "😀", "\ue000", "\0", "▁"]
    for _ in range(150):
        text = "".join(drawn.choice(parts) for _ in range(drawn.randint(1, 20)))
        ids = example.own.encode(text)
        assert ids == example.ids(text), text
        assert example.own.normalise(text) == example.own.decode(ids) or example.own.prose
        context = contexts_of(example.own, [text])[text]
        assert (np.diff(context.starts) >= 0).all()
        assert (np.diff(context.ends) >= 0).all()
        assert (context.starts <= context.ends).all(), text


def test_words_say_the_ids(example: Example) -> None:
    own = example.own
    for text in HOSTILE:
        words = own.words(text)
        assert [token for ids in own.encode_words(words) for token in ids] == own.encode(text), text
        for word in words:
            assert own.encode_words([word]) == own.encode_words([word, word])[:1]
    assert own.encode_words([" <s>", " </s>", " <pad>", " <unk>"]) == [[own.start], [own.end], [own.pad], [own.unknown]]


def test_a_file_of_ours_holds_the_originals(example: Example, tmp_path: Path) -> None:
    example.own.save(tmp_path / "tokenizer.json")
    content = (tmp_path / "tokenizer.json").read_bytes()
    found = Tokenizer.load(tmp_path / "tokenizer.json")
    assert isinstance(found, Foreign)
    assert found.fingerprint == example.own.fingerprint == xxhash.xxh3_128_hexdigest(content)
    assert (found.roles, found.vocab_size, found.tags) == (example.own.roles, found.roles.size, tuple(found.roles.tags))
    assert [found.encode(text) for text in HOSTILE] == [example.own.encode(text) for text in HOSTILE]
    (tmp_path / "out").mkdir()
    found.export(tmp_path / "out")
    written = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    assert written == {path.name: path.read_bytes() for path in example.folder.iterdir()}


def test_every_id_can_be_told(example: Example) -> None:
    own = example.own
    everything = range(own.vocab_size)
    assert len(own.pieces(everything)) == own.vocab_size
    assert isinstance(own.decode(reversed(everything)), str)
    assert all(own.begins_word(token) for token in (own.start, own.end, own.pad, own.unknown))
    assert not any(own.is_text(token) for token in (own.start, own.end, own.pad, own.unknown, *own.roles.tags.values()))
    assert own.decode([own.start, *own.encode("the dog"), own.end, own.pad]) == own.normalise("the dog")
    assert sorted(set(own.ids.values())) == [token for token in everything if own.pieces([token]) != [f"<{token}>"]]


def roles(own: Tokenizer) -> tuple[Any, ...]:
    named = [own.start, own.end, own.pad, own.unknown, *([] if own.mask is None else [own.mask])]
    return (*own.pieces(named), own.between, own.opens, own.prose, own.kind, own.cut)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("bert", ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", 1, True, False, "bpe", "spaces")),
        ("bert json", ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]", 1, True, False, "bpe", "spaces")),
        ("gpt2", (*["<|endoftext|>"] * 4, 1, False, True, "bytes", "classes")),
        ("roberta", ("<s>", "</s>", "<pad>", "<unk>", "<mask>", 2, True, True, "bytes", "classes")),
        ("roberta json", ("<s>", "</s>", "<pad>", "<unk>", "<mask>", 2, True, True, "bytes", "classes")),
        ("clip", ("<|startoftext|>", *["<|endoftext|>"] * 3, 2, True, False, "bytes", "classes")),
        ("t5 json", ("</s>", "</s>", "<pad>", "<unk>", 1, False, False, "unigram", "spaces")),
        ("xlm-r json", ("<s>", "</s>", "<pad>", "<unk>", "<mask>", 2, True, False, "unigram", "spaces")),
    ],
)
def test_what_tokens_are_for_is_found_out(name: str, expected: tuple[Any, ...], tmp_path: Path) -> None:
    own = EXAMPLES[name](tmp_path / "original").own
    assert roles(own) == expected
    if name == "t5 json":
        assert own.tag("<extra_id_0>") == own.ids[" <extra_id_0>"] == own.vocab_size - 1
        assert len(own.tags) == 100


def test_what_the_caller_says_counts(tmp_path: Path) -> None:
    folder = bert(tmp_path / "b")
    own = read(folder, start="[SEP]", end=2, pad="[MASK]", unknown=0, mask=1, between=3, opens=False, size=1000,
               tags={"one": 1}, lowercase=False)  # fmt: skip
    assert (own.start, own.end, own.pad, own.unknown, own.mask) == (3, 2, 4, 0, 1)
    assert (own.between, own.opens, own.vocab_size, own.tags) == (3, False, 1000, ("one",))
    assert own.pieces([999]) == ["<999>"]
    assert not own.is_text(999)
    assert not own.lowercase
    more = read(folder, tags=["[unused]", "the", "[new]"])
    last = read(folder).vocab_size
    assert (more.tag("[unused]"), more.tag("the"), more.tag("[new]")) == (last, more.ids[" the"], last + 1)
    assert more.vocab_size == last + 2


# ---- SentencePiece --------------------------------------------------------------------------------------------------


def by(folder: Path, side: str) -> sentencepiece.SentencePieceProcessor:
    return sentencepiece.SentencePieceProcessor(model_proto=(folder / side).read_bytes())


def same(own: Foreign, original: sentencepiece.SentencePieceProcessor, expected: Callable[[str], list[int]]) -> None:
    """Ids are as expected, offsets SentencePiece's; text is only ever text."""
    for text in HOSTILE:
        clean, ids = without_surrogates(text), own.encode(text)
        assert ids == expected(clean), text
        assert not {own.start, own.end, own.pad, *own.roles.tags.values()}.intersection(ids)
        starts, ends = offsets(own, text, ids)
        found = original.encode(clean, return_type="offset_mapping")["offsets"]
        assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == list(map(tuple, found)), text
        assert [token for word in own.encode_words(own.words(text)) for token in word] == ids
    assert own.encode_many(HOSTILE) == [own.encode(text) for text in HOSTILE]
    assert own.decode(own.encode(LINES[2])) == original.decode(original.encode(LINES[2]))


@pytest.mark.parametrize("options", [{}, {"model_type": "bpe", "byte_fallback": True, "vocab_size": 500}])
def test_ids_of_sentencepiece_itself(options: dict[str, Any], tmp_path: Path) -> None:
    folder = piece(tmp_path / "t5", "spiece.model", **T5, **options)
    tags = [f"<extra_id_{number}>" for number in range(99, -1, -1)]
    own, original = read(folder, tags=tags, start="<pad>"), by(folder, "spiece.model")
    same(own, original, original.encode)
    assert (own.start, own.end, own.pad, own.unknown) == (0, 1, 0, 2)
    assert own.tag("<extra_id_0>") == own.vocab_size - 1 == original.get_piece_size() + 99


def test_shifted_ids(tmp_path: Path) -> None:
    """fairseq's: <s>, <pad>, </s>, <unk>, then the pieces, then languages and the mask."""
    folder = piece(tmp_path / "mbart", FAIRSEQ)
    original = by(folder, FAIRSEQ)
    own = read(folder, mapping="shifted", start="</s>", mask="<mask>", tags=["en_XX", "de_DE", "<mask>"])
    fixed = {0: 3, 1: 0, 2: 2}
    same(own, original, lambda text: [fixed.get(token, token + 1) for token in original.encode(text)])
    assert own.pieces(range(4)) == ["<s>", "<pad>", "</s>", "<unk>"]
    assert (own.start, own.end, own.pad, own.unknown) == (2, 2, 1, 3)
    count = original.get_piece_size() + 1
    assert (own.tag("en_XX"), own.tag("de_DE"), own.mask, own.vocab_size) == (count, count + 1, count + 2, count + 3)
    with pytest.raises(UserError, match="its first pieces are <pad> </s> <unk>; those of a shifted one are <unk>"):
        read(piece(tmp_path / "t5", "spiece.model", **T5), mapping="shifted")


def test_camemberts_ids(tmp_path: Path) -> None:
    """Five entries in front, of which the unknown is one; the mask follows the pieces."""
    folder = piece(tmp_path / "camembert", FAIRSEQ)
    original, theirs = by(folder, FAIRSEQ), transformers.CamembertTokenizer.from_pretrained(folder)
    own = read(folder, mapping="camembert", mask="<mask>", tags=["<mask>"])
    same(own, original, lambda text: [token + 4 if token else 3 for token in original.encode(text)])
    assert own.pieces(range(own.vocab_size)) == theirs.convert_ids_to_tokens(range(len(theirs)))
    assert (own.start, own.end, own.pad, own.unknown, own.mask) == (5, 6, 1, 3, theirs.mask_token_id)
    assert not any(map(own.is_text, range(7)))
    for line in LINES[:5]:
        assert [own.start, *own.encode(line), own.end] == theirs(line)["input_ids"]


def test_pegasus_ids(tmp_path: Path) -> None:
    folder = piece(tmp_path / "pegasus", "spiece.model", **T5)
    original, theirs = by(folder, "spiece.model"), transformers.PegasusTokenizer.from_pretrained(folder)
    own = read(folder, mapping="pegasus")
    same(own, original, lambda text: [token + 103 for token in original.encode(text)])
    assert own.pieces(range(own.vocab_size)) == theirs.convert_ids_to_tokens(range(len(theirs)))
    assert (own.end, own.pad, own.unknown) == (1, 0, 105)
    assert not any(map(own.is_text, range(106)))
    for line in LINES[:5]:
        assert [*own.encode(line), own.end] == theirs(line)["input_ids"]


@pytest.fixture(scope="module")
def marian(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two models under one vocab.json, which has letters that the source's model does not know."""
    source, target = sentencepieces(LINES[:3]), sentencepieces(LINES[2:])
    both = [sentencepiece.SentencePieceProcessor(model_proto=model) for model in (source, target)]
    pieces = {one.id_to_piece(number) for one in both for number in range(3, one.get_piece_size())}
    names = ["</s>", "<unk>", *sorted(pieces), ">>de<<", ">>fr<<", "<pad>"]
    return write(
        tmp_path_factory.mktemp("marian") / "m", source__spm=source, target__spm=target,
        vocab__json={name: number for number, name in enumerate(names)},
        tokenizer_config__json={"source_lang": "en", "target_lang": "de"},
    )  # fmt: skip


@pytest.mark.parametrize("side", ["source", "target"])
def test_listed_ids(side: Any, marian: Path) -> None:
    listed, original = json.loads((marian / "vocab.json").read_bytes()), by(marian, f"{side}.spm")
    own = read(marian, side=side, start="<pad>", tags=[">>de<<", ">>fr<<"])
    wanted = lambda text: [listed.get(written, 1) for written in original.encode(text, out_type=str)]
    same(own, original, wanted)
    if side == "source":
        pairs = zip(original.encode("ß ö"), wanted("ß ö"), strict=True)
        assert any(unknown == 0 and token != 1 for unknown, token in pairs), "a letter that the other side knows"
    assert (own.start, own.end, own.pad, own.unknown, own.tags) == (listed["<pad>"], 0, listed["<pad>"], 1, own.tags)
    theirs = transformers.MarianTokenizer.from_pretrained(marian)
    encoded = lambda text: theirs(**{"text_target" if side == "target" else "text": text}, add_special_tokens=False)
    for text in set(HOSTILE).difference(SPELT):
        assert own.encode(text) == encoded(without_surrogates(text))["input_ids"], text
    said = own.encode(LINES[3])
    if side == "target":
        assert own.decode([own.tag(">>de<<"), *said, own.end]) == theirs.decode(said, skip_special_tokens=True)


def test_codes_of_languages_begin_a_text(marian: Path) -> None:
    own = read(marian, start="<pad>", tags=[">>de<<", ">>fr<<"])
    theirs = transformers.MarianTokenizer.from_pretrained(marian)
    texts = [
        ">>fr<< The quick", ">>de<<the", ">>fr<<", ">>xx<< the dog", ">> a << b", ">><<the", ">>fr the", "a >>fr<< b",
        " >>fr<< b", ">>fr<< >>de<< b", "<<>> a",
    ]  # fmt: skip
    for text in texts:
        ids = own.encode(text)
        assert ids == theirs(text, add_special_tokens=False)["input_ids"], text
        assert [token for word in own.encode_words(own.words(text)) for token in word] == ids
        starts, ends = offsets(own, text, ids)
        assert len(starts) == len(ids)
        assert (np.diff(starts) >= 0).all()
        assert ends.max() == len(text)
    assert own.encode_many(texts) == list(map(own.encode, texts))
    starts, ends = offsets(own, texts[0], own.encode(texts[0]))
    plain = offsets(own, " The quick", own.encode(" The quick"))
    assert (starts[0], ends[0]) == (0, 6)
    assert ((starts[1:] - 6).tolist(), (ends[1:] - 6).tolist()) == (plain[0].tolist(), plain[1].tolist())
    assert own.decode(own.encode(texts[0])) == "The quick"
    assert read(marian, start="<pad>").decode(read(marian, start="<pad>").encode(">> a << b")) != "b"


def test_each_side_may_have_its_list(marian: Path, tmp_path: Path) -> None:
    names = json.loads((marian / "vocab.json").read_bytes())
    last = len(names) - 1
    models = {f"{side}__spm": (marian / f"{side}.spm").read_bytes() for side in ("source", "target")}
    turned = {name: last - number for name, number in names.items()}
    folder = write(tmp_path / "two", **models, vocab__json=names, target_vocab__json=turned)
    one, other = read(folder), read(folder, side="target", mapping="vocab.json")
    assert (one.ids["▁the"], other.ids["▁the"]) == (names["▁the"], last - names["▁the"])


def test_languages_follow_a_list(tmp_path: Path) -> None:
    model = sentencepieces()
    original = sentencepiece.SentencePieceProcessor(model_proto=model)
    names = ["<s>", "<pad>", "</s>", "<unk>", *map(original.id_to_piece, range(3, original.get_piece_size()))]
    listed = {name: number for number, name in enumerate(names)}
    folder = write(tmp_path / "m2m", sentencepiece__bpe__model=model, vocab__json=listed)
    theirs = transformers.M2M100Tokenizer.from_pretrained(folder)
    languages = list(theirs.lang_token_to_id)
    own = read(folder, tags=languages, size=len(names) + len(languages) + 8)
    assert {name: own.tag(name) for name in languages} == theirs.lang_token_to_id
    assert own.vocab_size == len(names) + 108
    for text in set(HOSTILE).difference(SPELT):
        assert own.encode(text) == theirs(without_surrogates(text), add_special_tokens=False)["input_ids"], text


# ---- what tasks ask for ---------------------------------------------------------------------------------------------


def test_texts_that_go_on(tmp_path: Path, marian: Path) -> None:
    """Without the space in front, unless they have one."""
    some = {
        "bert": read(bert(tmp_path / "b")), "gpt2": read(write(tmp_path / "g", **byte_level(["<|endoftext|>"]))),
        "spaced": read(roberta(tmp_path / "r", prefix=True)), "marian": read(marian, start="<pad>"),
        "unigram": read(write(tmp_path / "u", tokenizer__json=unigram_json())),
    }  # fmt: skip
    said = {name: "".join(own.pieces(own.encode_inside("played the ቋ"))) for name, own in some.items()}
    assert said["bert"] == "played" + "the[UNK]"
    assert said["gpt2"].startswith("playedĠthe")
    assert said["spaced"] == said["gpt2"]
    assert said["marian"] == said["unigram"] == "played▁the▁<unk>"
    for name, own in some.items():
        spaced = own.encode_inside(" the dog")
        assert own.decode(spaced, inside=True) == " the dog", name
        assert own.decode(spaced) == ("the dog" if name != "gpt2" else " the dog")
        assert own.decode(own.encode_inside("played"), inside=True).strip() == "played"
        assert own.encode_inside("") == []
    entry = next(entry for entry in some["bert"].ids if entry.startswith("##") and len(entry) > 3)
    for inside in (False, True):
        assert some["bert"].decode([some["bert"].ids[entry]], inside) == entry[2:]


def test_pairs_of_surrogates_are_one_character(example: Example) -> None:
    text = "a \ud83d\ude00 b\ud83d"
    starts, ends = offsets(example.own, text, example.own.encode(text))
    assert ends.max() <= len(text)
    clean, _ = offsets(example.own, "a \U0001f600 b\ufffd", example.own.encode(text))
    assert [one + (one > 2) for one in clean.tolist()] == starts.tolist()


@pytest.mark.parametrize("kind", ["bytes", "unigram"])
def test_subwords_are_sampled_as_ours_are(kind: str, tmp_path: Path) -> None:
    files = byte_level(ROBERTA) if kind == "bytes" else {"tokenizer__json": unigram_json()}
    own = read(write(tmp_path / "t", **files))
    words = sorted({word for text in HOSTILE for word in own.words(text)})
    assert sum(not word.startswith(" ") for word in words) > 50
    never, often = (Segmentations.build(own, words, 4, probability, 1) for probability in (0.0, 0.6))
    for number, (word, ids) in enumerate(zip(words, own.encode_words(words), strict=True)):
        assert never.segmentation(number, 1) == ids, word
        for one in range(1, 5):
            assert own.decode(often.segmentation(number, one)) == own.decode(ids)
    assert len(often.tokens) > len(never.tokens)


def test_where_there_is_no_sampling_it_is_refused(tmp_path: Path, marian: Path) -> None:
    for own in (read(bert(tmp_path / "b")), read(marian)):
        with pytest.raises(UserError, match=r"no subword sampling: set tokenizer\.sampling = 0"):
            Segmentations.build(own, ["a"], 2, 0.1, 1)


def test_prose_is_said_bit_by_bit(tmp_path: Path) -> None:
    made = tokenizers.Tokenizer.from_str(_json(byte_level(["<|endoftext|>"])))
    made.add_tokens([AddedToken("über alles", normalized=False)])
    own = read(write(tmp_path / "g", tokenizer__json=str(made.to_str())), end="<|endoftext|>")
    assert own.prose
    text = "".join(LINES) + "über alles \n\n\t 😀é"
    ids = own.encode(text)
    assert own.ids["über alles"] in ids
    assert spell(own, ids) == own.decode(ids) == own.normalise(text) == text
    speller = Speller(own)
    assert "".join([*(speller.more([token]) for token in ids), speller.rest()]) == text
    assert spell(own, [own.end, *own.encode("a"), own.end]) == "a"


def _json(files: dict[str, Any]) -> str:
    merges = [tuple(line.split(" ")) for line in files["merges__txt"].split("\n")[1:-1]]
    made = tokenizers.Tokenizer(tokenizers.models.BPE(files["vocab__json"], merges))
    made.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = tokenizers.decoders.ByteLevel()
    made.add_special_tokens(["<|endoftext|>"])
    return str(made.to_str())


def test_what_files_say_of_batches_and_training_is_left_aside(tmp_path: Path) -> None:
    made = tokenizers.Tokenizer.from_str(_json(byte_level(["<|endoftext|>"])))
    made.enable_truncation(3)
    made.enable_padding(length=9)
    tree = json.loads(made.to_str())
    tree["model"]["dropout"] = 0.9
    own = read(write(tmp_path / "g", tokenizer__json=tree))
    plain = read(write(tmp_path / "p", tokenizer__json=_json(byte_level(["<|endoftext|>"]))))
    assert own.encode_many(LINES) == [own.encode(line) for line in LINES] == plain.encode_many(LINES)


# ---- what is damaged ------------------------------------------------------------------------------------------------


def test_a_damaged_file_of_ours_is_one_clear_line(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    read(bert(tmp_path / "b")).save(path)
    content = path.read_bytes()
    drawn = random.Random(1)
    for _ in range(60):
        place = drawn.randrange(40, len(content) - 2)
        path.write_bytes(drawn.choice([
            content[:place], content[:place] + bytes([content[place] ^ 1 << drawn.randrange(7)]) + content[place + 1 :],
            content[:place] + content[place + 4 :],
        ]))  # fmt: skip
        with pytest.raises(UserError, match=r"damaged \(.*restore it or import the model again") as caught:
            Tokenizer.load(path)
        assert "\n" not in str(caught.value)


def test_a_file_of_ours_holds_nothing_but_a_tokenizers_files(tmp_path: Path) -> None:
    own = read(bert(tmp_path / "b"))
    for name in ("../vocab.txt", "/etc/x.model", "config.json", "a\\b.spm", ""):
        Foreign({**own.files, name: b""}, own.way, own.roles).save(tmp_path / "t.json")
        with pytest.raises(UserError, match="is no file of a tokenizer"):
            Tokenizer.load(tmp_path / "t.json")


def malformed() -> Iterator[tuple[dict[str, Any], dict[str, Any], str]]:
    """Files, what is asked, and what is said."""
    good = json.loads(_json(byte_level(["<|endoftext|>"])))
    yield {}, {}, "there is no tokenizer.json, vocab.txt, vocab.json with merges.txt, or SentencePiece model"
    yield {"tokenizer__json": "{"}, {}, r"tokenizer\.json: EOF"
    yield {"tokenizer__json": b"\xff"}, {}, r"tokenizer\.json: 'utf-8'"
    yield (
        {"tokenizer__json": good | {"model": {"type": "BPE", "vocab": {"a": 0}, "merges": [["a", "b"]]}}},
        {},
        "tokenizer",
    )
    yield {"tokenizer__json": good}, {"start": "[CLS]"}, r"its start token was to be '\[CLS\]', which is no entry"
    yield {"tokenizer__json": good}, {"size": 3}, "it has ids from 0 to 449, and the model 3 rows"
    yield (
        {"tokenizer__json": good, "tokenizer_config__json": "[]"},
        {},
        r"tokenizer_config\.json does not hold an object",
    )
    yield (
        {"tokenizer__json": good, "tokenizer_config__json": '{"a":' * 10**5},
        {},
        r"tokenizer_config\.json is not JSON",
    )
    yield {"tokenizer__json": good}, {"reader": "wordpiece"}, r"vocab\.txt is missing"
    yield {"vocab__txt": b"[UNK]\n\xff"}, {}, r"vocab\.txt is not UTF-8 \(invalid start byte at byte 6\)"
    yield {"vocab__txt": "[PAD]\na\n"}, {}, r"its vocabulary lacks \[SEP\]"
    yield {"vocab__txt": "[CLS]\n[SEP]\n[UNK]x\n"}, {}, "it cannot encode every text"
    config: dict[str, Any] = {"do_lower_case": "yes"}
    yield {"vocab__txt": wordpiece(), "tokenizer_config__json": config}, {}, "do_lower_case is 'yes', not true or"
    config = {"added_tokens_decoder": {"7": {"content": "[NEW]"}}}
    yield {"vocab__txt": wordpiece(), "tokenizer_config__json": config}, {}, r"'\[NEW\]' is to be 7, and the vocab"
    config = {"added_tokens_decoder": {"x": {}}}
    yield {"vocab__txt": wordpiece(), "tokenizer_config__json": config}, {}, "added_tokens_decoder has 'x': {}, which"
    yield {"vocab__json": {"a": -1}, "merges__txt": ""}, {}, "the id of 'a' is -1, not a whole number"
    yield {"vocab__json": {"a": 10**9, "</s>": 0}, "merges__txt": ""}, {}, "its ids go up to 1,000,000,000; at most"
    yield {"vocab__json": {"a": 0}, "merges__txt": "a b c\n"}, {}, r"merges\.txt: 'a b c' is not two pieces"
    yield {"vocab__json": {"a": 0}, "merges__txt": ""}, {}, "nothing says which token ends a text"
    yield {"spiece__model": b"garbage"}, {}, "not a SentencePiece model, or damaged"
    yield {"spiece__model": sentencepieces(), "vocab__json": {"a": 0}}, {}, "its list of pieces lacks <unk>"
    yield {"spiece__model": sentencepieces()}, {"mapping": "other.json"}, r"other\.json is missing"


def test_malformed_files_are_one_clear_line(tmp_path: Path) -> None:
    for number, (files, asked, words) in enumerate(malformed()):
        folder = write(tmp_path / str(number), **files)
        with pytest.raises(UserError, match=words) as caught:
            read(folder, **asked)
        message = str(caught.value)
        assert message.startswith(f"{folder}: its tokenizer: "), message
        assert "\n" not in message
        assert len(message) < len(str(folder)) + 450
    with pytest.raises(UserError, match="cannot be read: No such file"):
        read(tmp_path / "none")


@pytest.mark.usefixtures("apart")
def test_files_are_tried_in_a_process_of_their_own(
    tmp_path: Path, marian: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = bert(tmp_path / "b")
    for one, asked in ((folder, {"size": 400}), (marian, {"start": "<pad>", "tags": [">>de<<"], "side": "target"})):
        own = read(one, **asked)
        files = foreign_files.files_of(one)
        assert own.roles == foreign_files.tried(files, own.way, foreign_files.Asked(**_plain(asked)))
    (folder / "vocab.txt").write_bytes(b"[UNK]\n\xff")
    with pytest.raises(UserError, match=r"vocab\.txt is not UTF-8"):
        read(folder)
    run = subprocess.run
    for program, words in (
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"the library that reads it fails \(SIGSEGV\)"),
        ("raise SystemExit('thread panicked')", r"the library that reads it fails \(thread panicked\)"),
        ("import time; time.sleep(9)", r"reading it takes more than 0\.5 seconds"),
    ):
        instead = lambda command, program=program, **options: run([*command[:2], program], **options)
        monkeypatch.setattr(subprocess, "run", instead)
        monkeypatch.setattr(foreign_files, "SECONDS", 0.5)
        with pytest.raises(UserError, match=words):
            read(folder)


@pytest.mark.usefixtures("apart")
@pytest.mark.skipif(sys.platform == "win32", reason="no limits there")
def test_memory_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, bomb = subprocess.run, f"from {foreign_files.__name__} import limit; limit(2**28); bytearray(2**30)"
    monkeypatch.setattr(subprocess, "run", lambda command, **options: run([*command[:2], bomb], **options))
    with pytest.raises(UserError, match=r"the library that reads it fails \(MemoryError\)"):
        read(bert(tmp_path / "b"))


def _plain(asked: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in asked.items() if key != "side"}


def test_a_tokenizer_of_ours_is_read_as_ever(tmp_path: Path) -> None:
    (tmp_path / "t.json").write_text('{"heedful": "foreign tokenizer"}')
    with pytest.raises(UserError, match="not a tokenizer that heedful wrote"):
        Tokenizer.load(tmp_path / "t.json")
