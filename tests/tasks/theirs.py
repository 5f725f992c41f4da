"""Checkpoints of `transformers` as people have them: tiny models with random weights, and the files of a tokenizer.

Weights are large, so that answers vary. Nothing is downloaded.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import sentencepiece
import torch
from against.checkpoints import transformers
from foreign_examples import LINES, byte_level, sentencepieces, wordpiece, write

PLACES = 64  # learned positions
NLLB = ["deu_Latn", "eng_Latn", "fra_Latn", "zho_Hans"]
FAIRSEQ = "sentencepiece__bpe__model"

BERT: dict[str, Any] = {
    "hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 20,
    "max_position_embeddings": PLACES,
}  # fmt: skip
DISTIL: dict[str, Any] = {"dim": 24, "n_layers": 2, "n_heads": 4, "hidden_dim": 20, "max_position_embeddings": PLACES}
GPT2: dict[str, Any] = {"n_embd": 24, "n_layer": 2, "n_head": 4, "n_inner": 20, "n_positions": 48}
MARIAN: dict[str, Any] = {
    "d_model": 24, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4, "decoder_attention_heads": 2,
    "encoder_ffn_dim": 20, "decoder_ffn_dim": 28, "max_position_embeddings": PLACES,
}  # fmt: skip
T5: dict[str, Any] = {
    "d_model": 24, "d_kv": 6, "d_ff": 20, "num_layers": 2, "num_decoder_layers": 2, "num_heads": 4,
    "relative_attention_num_buckets": 8, "relative_attention_max_distance": 20,
}  # fmt: skip


class Theirs(NamedTuple):
    """A checkpoint's folder, and what it was made from."""

    folder: Path
    model: Any
    tokenizer: Any

    def again(self, folder: Path) -> Theirs:
        """What transformers reads in another folder, by the same classes; every tensor is there, and no other."""
        model, told = type(self.model).from_pretrained(folder, output_loading_info=True)
        assert not any(told.values()), told
        return Theirs(folder, model.eval(), transformers.AutoTokenizer.from_pretrained(folder))


def spread(model: Any, seed: int = 1, size: float = 0.3) -> Any:
    """The model with larger weights, to be evaluated."""
    torch.manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                plain = parameter.ndim > 1 and "norm" not in name.lower()
                parameter.copy_(torch.randn(parameter.shape) * size if plain else parameter + 0.1 * torch.randn(parameter.shape))
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_(0, 0.5)
    return model.eval()


def saved(folder: Path, name: str, tokenizer: Any, json_too: bool = False, size: float = 0.3, **options: Any) -> Theirs:
    """A model of the class of that name beside its tokenizer's files, which are in the folder."""
    kind = getattr(transformers, name)
    model = spread(kind(kind.config_class(**{"vocab_size": len(tokenizer), **options})), size=size)
    model.save_pretrained(folder)
    if json_too:
        tokenizer.save_pretrained(folder)
    return Theirs(folder, model, tokenizer)


# ---- encoders -------------------------------------------------------------------------------------------------------

WORDPIECE, ROBERTA = cache(wordpiece), cache(lambda: byte_level(["<s>", "<pad>", "</s>", "<unk>", "<mask>"]))


def bert(folder: Path, ending: str = "ForMaskedLM", **options: Any) -> Theirs:
    """With a vocab.txt, as the first had it."""
    write(folder, vocab__txt=WORDPIECE(), tokenizer_config__json={"do_lower_case": True})
    return saved(folder, f"Bert{ending}", transformers.BertTokenizer.from_pretrained(folder), **BERT, **options)


def distilbert(folder: Path, ending: str = "ForMaskedLM", **options: Any) -> Theirs:
    """With a tokenizer.json beside the vocab.txt."""
    write(folder, vocab__txt=WORDPIECE(), tokenizer_config__json={"do_lower_case": True})
    tokenizer = transformers.DistilBertTokenizer.from_pretrained(folder)
    return saved(folder, f"DistilBert{ending}", tokenizer, json_too=True, **DISTIL, **options)


def roberta(folder: Path, ending: str = "ForMaskedLM", **options: Any) -> Theirs:
    """With vocab.json and merges.txt; texts of a pair are parted by two ends."""
    write(folder, **ROBERTA())
    tokenizer = transformers.RobertaTokenizer.from_pretrained(folder)
    sizes = {**BERT, "max_position_embeddings": PLACES + 2, "type_vocab_size": 1, "pad_token_id": 1}
    return saved(folder, f"Roberta{ending}", tokenizer, **{**sizes, "bos_token_id": 0, "eos_token_id": 2, **options})


# ---- decoders and translators ---------------------------------------------------------------------------------------


def gpt2(folder: Path, **options: Any) -> Theirs:
    """With one token that is start and end."""
    write(folder, **_gpt2())
    tokenizer = transformers.GPT2Tokenizer.from_pretrained(folder)
    end = tokenizer.eos_token_id
    return saved(folder, "GPT2LMHeadModel", tokenizer, **GPT2, bos_token_id=end, eos_token_id=end, **options)


_gpt2 = cache(lambda: byte_level(["<|endoftext|>"]))


@cache
def _two() -> dict[str, Any]:
    """Two SentencePiece models, and a list of the pieces of both."""
    source, target = sentencepieces(LINES[:3]), sentencepieces(LINES[2:])
    both = [sentencepiece.SentencePieceProcessor(model_proto=model) for model in (source, target)]
    pieces = {one.id_to_piece(number) for one in both for number in range(3, one.get_piece_size())}
    names = ["</s>", "<unk>", *sorted(pieces), "<pad>"]
    listed = {name: number for number, name in enumerate(names)}
    return {"source__spm": source, "target__spm": target, "vocab__json": listed}


def marian(folder: Path, own: bool = False, **options: Any) -> Theirs:
    """With one vocabulary for both sides, or each side's `own`."""
    files = dict(_two())
    if own:
        pieces = [name for name in files["vocab__json"] if name not in ("</s>", "<unk>", "<pad>")]
        turned = ["</s>", "<unk>", *pieces[::-1], "<pad>"]
        files["target_vocab__json"] = {name: number for number, name in enumerate(turned)}
        options = {"share_encoder_decoder_embeddings": False, "decoder_vocab_size": len(turned), **options}
    write(folder, **files, tokenizer_config__json={
        "source_lang": "en", "target_lang": "de", "separate_vocabs": own, "tokenizer_class": "MarianTokenizer",
    })
    tokenizer = transformers.MarianTokenizer.from_pretrained(folder)
    ids = {"pad_token_id": tokenizer.pad_token_id, "eos_token_id": 0, "bos_token_id": 0,
           "decoder_start_token_id": tokenizer.pad_token_id, "forced_eos_token_id": 0}  # fmt: skip
    return saved(folder, "MarianMTModel", tokenizer, **{**MARIAN, **ids, "scale_embedding": True, **options})


def bart(folder: Path, **options: Any) -> Theirs:
    """With RoBERTa's tokenizer."""
    write(folder, **ROBERTA())
    tokenizer = transformers.BartTokenizer.from_pretrained(folder)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2,
           "forced_eos_token_id": 2}  # fmt: skip
    made = saved(folder, "BartForConditionalGeneration", tokenizer, **{**MARIAN, **ids, **options})
    made.model.generation_config.forced_bos_token_id = 0
    made.model.save_pretrained(folder)
    return made


def t5(folder: Path, **options: Any) -> Theirs:
    """With a spiece.model."""
    write(folder, spiece__model=sentencepieces(pad_id=0, eos_id=1, unk_id=2, bos_id=-1))
    tokenizer = transformers.T5Tokenizer.from_pretrained(folder)
    ids = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    return saved(folder, "T5ForConditionalGeneration", tokenizer, json_too=True, **{**T5, **ids, **options})


def mbart50(folder: Path, **options: Any) -> Theirs:
    """Of many languages, the tokens of which begin sources and answers."""
    write(folder, **{FAIRSEQ: sentencepieces()})
    tokenizer = transformers.MBart50Tokenizer.from_pretrained(folder)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2,
           "forced_eos_token_id": 2}  # fmt: skip
    return saved(folder, "MBartForConditionalGeneration", tokenizer, json_too=True, **{**MARIAN, **ids, **options})


def mbart(folder: Path, **options: Any) -> Theirs:
    """Of 25 languages, the tokens of which end sources; answers begin from them."""
    write(folder, **{FAIRSEQ: sentencepieces()})
    tokenizer = transformers.MBartTokenizer.from_pretrained(folder)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "forced_eos_token_id": 2}
    return saved(folder, "MBartForConditionalGeneration", tokenizer, json_too=True, **{**MARIAN, **ids, **options})


def nllb(folder: Path, **options: Any) -> Theirs:
    """Of M2M100's kind, with a tokenizer.json."""
    write(folder, **{FAIRSEQ: sentencepieces(model_type="bpe", vocab_size=300)})
    tokenizer = transformers.NllbTokenizer.from_pretrained(folder, extra_special_tokens=NLLB)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    return saved(folder, "M2M100ForConditionalGeneration", tokenizer, json_too=True, **{**MARIAN, **ids, **options})


def m2m100(folder: Path, **options: Any) -> Theirs:
    """With a SentencePiece model, a list of its pieces, and one of languages."""
    model = sentencepieces()
    original = sentencepiece.SentencePieceProcessor(model_proto=model)
    names = ["<s>", "<pad>", "</s>", "<unk>", *map(original.id_to_piece, range(3, original.get_piece_size()))]
    write(folder, **{FAIRSEQ: model}, vocab__json={name: number for number, name in enumerate(names)})
    tokenizer = transformers.M2M100Tokenizer.from_pretrained(folder)
    languages = [*tokenizer.lang_token_to_id]
    (folder / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": languages}))
    tokenizer = transformers.M2M100Tokenizer.from_pretrained(folder)
    ids = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "decoder_start_token_id": 2}
    size = len(names) + len(languages) + 8
    return saved(folder, "M2M100ForConditionalGeneration", tokenizer, **{**MARIAN, **ids, "vocab_size": size, **options})
