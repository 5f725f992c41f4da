"""Foreign tokenizers from the files that were in use before tokenizer.json, run by the same library.

WordPiece (Devlin et al. 2019) has vocab.txt; byte-level byte-pair encoding (Radford et al. 2019) has vocab.json and
merges.txt, and CLIP's is told by its "</w>", which ends words. What is done to a text around them is what
`transformers` does for BERT, for GPT-2 and RoBERTa, and for CLIP.
"""

from __future__ import annotations

import tokenizers
from tokenizers import AddedToken, Regex, decoders, models, normalizers, pre_tokenizers, processors

from .library import Library
from .originals import Files, Unfit, added, extra, named, settings, tree

WORD_END = "</w>"
CLIP_WORDS = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
# The names of tokens where no file says them.
BERT = {"unk": "[UNK]", "sep": "[SEP]", "pad": "[PAD]", "cls": "[CLS]", "mask": "[MASK]"}
ROBERTA = {"bos": "<s>", "eos": "</s>", "sep": "</s>", "cls": "<s>", "unk": "<unk>", "pad": "<pad>", "mask": "<mask>"}
GPT2 = {"bos": "<|endoftext|>", "eos": "<|endoftext|>", "unk": "<|endoftext|>"}
CLIP = {**GPT2, "bos": "<|startoftext|>", "pad": "<|endoftext|>"}


def wordpiece(files: Files, lowercase: bool | None) -> Library:
    """BERT's: vocab.txt has an entry a line, and tokenizer_config.json says whether case and accents are kept.

    `lowercase` counts more than that.
    """
    told = settings(files, do_lower_case=True, strip_accents=None, tokenize_chinese_chars=True)
    vocabulary = {entry.rstrip(): number for number, entry in enumerate(_lines(files, "vocab.txt"))}
    roles = _roles(files, BERT)
    backend = tokenizers.Tokenizer(models.WordPiece(vocabulary, unk_token=roles["unk"].content))
    backend.normalizer = normalizers.BertNormalizer(
        clean_text=True,
        handle_chinese_chars=told["tokenize_chinese_chars"],
        strip_accents=told["strip_accents"],
        lowercase=told["do_lower_case"] if lowercase is None else lowercase,
    )
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.decoder = decoders.WordPiece(prefix="##")
    backend.post_processor = processors.BertProcessing(_placed(backend, roles["sep"]), _placed(backend, roles["cls"]))
    return _with_tokens(backend, files, roles)


def byte_level(files: Files) -> Library:
    """GPT-2's, RoBERTa's or CLIP's."""
    vocabulary = numbered(tree(files, "vocab.json"), "vocab.json")
    merges = [_pair(line) for line in _lines(files, "merges.txt") if line and not line.startswith("#version")]
    if any(entry.endswith(WORD_END) for entry in vocabulary):
        return _clip(files, vocabulary, merges)
    roles = _roles(files, ROBERTA if "<s>" in vocabulary else GPT2)
    framed = "cls" in roles and "sep" in roles
    told = settings(files, add_prefix_space=False, trim_offsets=framed)
    backend = tokenizers.Tokenizer(models.BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix=""))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=told["add_prefix_space"])
    backend.decoder = decoders.ByteLevel()
    backend.post_processor = processors.ByteLevel(trim_offsets=told["trim_offsets"])
    if framed:
        frame = _placed(backend, roles["sep"]), _placed(backend, roles["cls"])
        backend.post_processor = processors.RobertaProcessing(*frame, **told)
    return _with_tokens(backend, files, roles)


def _clip(files: Files, vocabulary: dict[str, int], merges: list[tuple[str, str]]) -> Library:
    roles = _roles(files, CLIP)
    model = models.BPE(vocabulary, merges, end_of_word_suffix=WORD_END, unk_token=roles["unk"].content)
    backend = tokenizers.Tokenizer(model)
    space = normalizers.Replace(Regex(r"\s+"), " ")
    backend.normalizer = normalizers.Sequence([normalizers.NFC(), space, normalizers.Lowercase()])
    words = pre_tokenizers.Split(Regex(CLIP_WORDS), behavior="removed", invert=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    backend.decoder = decoders.ByteLevel()
    frame = _placed(backend, roles["eos"]), _placed(backend, roles["bos"])
    backend.post_processor = processors.RobertaProcessing(*frame, trim_offsets=False, add_prefix_space=False)
    return _with_tokens(backend, files, roles)


def numbered(found: dict[str, object], name: str) -> dict[str, int]:
    """A vocabulary of a JSON file: entries and their ids."""
    for entry, number in found.items():
        if type(number) is not int or number < 0:
            raise Unfit(f"{name}: the id of {entry!r} is {number!r}, not a whole number")
    return found  # type: ignore[return-value]


def _roles(files: Files, usual: dict[str, str]) -> dict[str, AddedToken]:
    """The tokens that have a part to play, by what they do."""
    return {role: AddedToken(name, special=True) for role, name in usual.items()} | named(files)


def _placed(backend: tokenizers.Tokenizer, token: AddedToken) -> tuple[str, int]:
    """A token that frames texts."""
    number = backend.token_to_id(token.content)
    if number is None:
        raise Unfit(f"its vocabulary lacks {token.content}")
    return token.content, number


def _with_tokens(backend: tokenizers.Tokenizer, files: Files, roles: dict[str, AddedToken]) -> Library:
    """With the tokens that a text can spell out: those of the files, and those that have a part to play."""
    given = added(files)
    known = {token.content for token in given.values()}
    rest = [token for token in (*roles.values(), *extra(files)) if token.content not in known]
    # What the vocabulary does not hold would get an id for which the model has no row.
    backend.add_tokens([*given.values(), *(token for token in rest if backend.token_to_id(token.content) is not None)])
    for number, token in given.items():
        if backend.token_to_id(token.content) != number:
            raise Unfit(f"the added token {token.content!r} is to be {number}, and the vocabulary says otherwise")
    return Library(backend)


def _lines(files: Files, name: str) -> list[str]:
    try:
        lines = files[name].decode("utf-8").split("\n")
    except UnicodeDecodeError as error:
        raise Unfit(f"{name} is not UTF-8 ({error.reason} at byte {error.start:,})") from None
    return lines[: -1 if lines[-1] == "" else None]


def _pair(line: str) -> tuple[str, str]:
    left, _, right = line.rstrip("\r").partition(" ")
    if not left or not right or " " in right:
        raise Unfit(f"merges.txt: {line!r} is not two pieces with a space between")
    return left, right
