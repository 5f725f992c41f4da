"""What happens to text on its way to token ids and back: normalise, escape, split into words, and the way back.

Three things in a vocabulary are not text: control tokens, byte tokens and the mark "▁" that stands for a space. None of
them can be spelt by any text:

- a control token's name begins with a space, and no space is left once spaces are written as "▁" (or "Ġ", byte-level);
- a literal "▁", and "<0x" that begins a byte token's name, are escaped with U+0010, and so is a literal U+0010.

All of it is stored in tokenizer.json, so that any reader of that file gives the same ids.
"""

from __future__ import annotations

from typing import Literal

from tokenizers import Regex, decoders, normalizers, pre_tokenizers

Kind = Literal["bpe", "unigram", "bytes", "characters"]
KINDS: tuple[Kind, ...] = ("bpe", "unigram", "bytes", "characters")
Cut = Literal["classes", "digits", "spaces"]
CUTS: tuple[Cut, ...] = ("classes", "digits", "spaces")

# The order is the ids: pad 0, start 1, end 2, unknown 3. Tag tokens follow, then placeholders.
CONTROLS = ("<pad>", "<s>", "</s>", "<unk>")
MASK = "<mask>"  # the tag that hides tokens
BYTES = tuple(f"<0x{byte:02X}>" for byte in range(256))

SPACE = "▁"
# (text, written as); each escape is U+0010 and a character that no other escape has, so undoing them is unambiguous.
ESCAPES = (("\x10", "\x10!"), (SPACE, "\x10_"), ("<0x", "\x10<"))

# A word is at most this long: merging is then linear in the length of a line, whatever the line holds.
LONGEST_WORD = 64


def control(name: str) -> str:
    """The vocabulary entry of a control or tag token, for example " </s>": it begins with a space, text never does."""
    return " " + name


def placeholder(number: int) -> str:
    """The vocabulary entry of placeholder 1, 2, ...: it stands for something that is not to be translated."""
    return control(f"<ph{number}>")


def meaning(lowercase: bool) -> normalizers.Normalizer:
    """What decoding gives back: NFC, so that equal characters are equal tokens, and lower case if asked."""
    steps = [normalizers.NFC(), normalizers.Lowercase(), normalizers.NFC()] if lowercase else [normalizers.NFC()]
    return normalizers.Sequence(steps)


def normaliser(kind: Kind, lowercase: bool, prose: bool = False) -> normalizers.Normalizer:
    """`meaning`, then a space in front (a word is the same at the start of a line), then the written form.

    In `prose`, texts of many lines, nothing is put in front.
    """
    front: list[normalizers.Normalizer] = [] if prose else [normalizers.Prepend(" ")]
    steps: list[normalizers.Normalizer] = [meaning(lowercase)]
    if kind == "bytes":
        return normalizers.Sequence([*steps, *front])
    steps += [normalizers.Replace(text, written) for text, written in ESCAPES]
    return normalizers.Sequence([*steps, *front, normalizers.Replace(" ", SPACE)])


def splitter(kind: Kind, cut: Cut) -> pre_tokenizers.PreTokenizer:
    """Cuts a normalised line into words; the space before a word belongs to it.

    "classes": letters, numbers and the rest apart; "digits": so, too, but every digit is a word of its own and takes no
    space; "spaces": only white space ends a word, as in text that is tokenised already.
    """
    space = " " if kind == "bytes" else SPACE
    numbers = r"\p{N}" if cut == "digits" else rf"{space}?\p{{N}}{{1,16}}"
    words = (
        rf"{space}?[\p{{L}}\p{{M}}]{{1,{LONGEST_WORD}}}|{numbers}|{space}?[^{space}\p{{L}}\p{{M}}\p{{N}}]{{1,16}}"
        if cut != "spaces"
        else rf"{space}?[^{space}\s]{{1,{LONGEST_WORD}}}|{space}?[^{space}\S]{{1,16}}"
    )
    split = pre_tokenizers.Split(Regex(rf"{space}{{1,16}}(?={space})|{words}|{space}"), "isolated")
    if kind != "bytes":
        return split
    return pre_tokenizers.Sequence([split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def decoder(kind: Kind, prose: bool = False) -> decoders.Decoder:
    """The way back from pieces to text: exactly what `normaliser` and byte tokens did, undone."""
    front = [] if prose else [decoders.Strip(" ", 1, 0)]
    if kind == "bytes":
        return decoders.Sequence([decoders.ByteLevel(), *front])
    steps = [decoders.ByteFallback(), decoders.Fuse(), decoders.Replace(SPACE, " "), *front]
    return decoders.Sequence([*steps, *(decoders.Replace(written, text) for text, written in reversed(ESCAPES))])


def without_surrogates(text: str) -> str:
    """The text with surrogate pairs joined and each lone surrogate, which no UTF-8 can hold, replaced by U+FFFD."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text
