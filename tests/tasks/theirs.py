"""Checkpoints of `transformers` as people have them: tiny models with random weights, and the files of a tokenizer.

Weights are large, so that answers vary. Nothing is downloaded.
"""

from __future__ import annotations

import json
import string
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import against
import numpy as np
import sentencepiece
import torch
from against.checkpoints import CLIP, LXMERT, transformers
from foreign_examples import LINES, byte_level, sentencepieces, wordpiece, write
from safetensors.torch import load_file, save_file
from tokenizers import AddedToken
from torch.nn import functional

import heedful
from heedful.tasks.converting import convert

LETTERS = string.ascii_lowercase
PLACES = 64  # learned positions
LONGEST = 14  # tokens of an answer
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


def spread(model: Any, seed: int = 1) -> Any:
    """The model with larger weights, to be evaluated; an end that is said early or late."""
    torch.manual_seed(seed)
    size = 0.45 if model.config.is_encoder_decoder else 0.3
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                drawn = torch.randn(parameter.shape)
                plain = parameter.ndim > 1 and "norm" not in name.lower()
                parameter.copy_(drawn * size if plain else parameter + 0.1 * drawn)
        end = getattr(model.config, "eos_token_id", None)
        if isinstance(end, int) and model.config.is_encoder_decoder:
            model.get_input_embeddings().weight[end] *= 1.8
        if hasattr(model, "final_logits_bias"):
            model.final_logits_bias.normal_(0, 0.5)
    return model.eval()


def saved(folder: Path, name: str, tokenizer: Any, json_too: bool = False, **options: Any) -> Theirs:
    """A model of the class of that name beside its tokenizer's files, which are in the folder."""
    kind = getattr(transformers, name)
    model = spread(kind(kind.config_class(**{"vocab_size": len(tokenizer), **options})))
    model.save_pretrained(folder)
    if json_too:
        tokenizer.save_pretrained(folder)
    return Theirs(folder, model, tokenizer)


def opened(folder: Path) -> Theirs:
    """What transformers reads in a folder, by the class that its settings name; every tensor is there, and no other."""
    kind = json.loads((folder / "config.json").read_text())["architectures"][0]
    model, told = getattr(transformers, kind).from_pretrained(folder, output_loading_info=True)
    assert not any(told.values()), told
    return Theirs(folder, model.eval(), transformers.AutoTokenizer.from_pretrained(folder))


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
    """Texts of a pair are parted by two ends."""
    write(folder, **ROBERTA())
    hidden = AddedToken("<mask>", lstrip=True, special=True)  # the space before it is its own
    tokenizer = transformers.RobertaTokenizer.from_pretrained(folder, mask_token=hidden)
    sizes = {**BERT, "max_position_embeddings": PLACES + 2, "type_vocab_size": 1, "pad_token_id": 1}
    ids = {"bos_token_id": 0, "eos_token_id": 2}
    return saved(folder, f"Roberta{ending}", tokenizer, json_too=True, **{**sizes, **ids, **options})


def sentence_transformers(
    folder: Path, pooling: str = "mean_tokens", dense: str | None = None, normalize: bool = True
) -> Theirs:
    """BERT as a module of that library, read at most 16 tokens; with a dense layer of 10 numbers and its activation."""
    made = bert(folder, "Model")
    kinds = ["Transformer", "Pooling", *(["Dense"] if dense else []), *(["Normalize"] if normalize else [])]
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds) if number)]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (path, kind) in enumerate(zip(paths, kinds, strict=True))
    ]
    modes = {f"pooling_mode_{mode}": mode == pooling for mode in ("cls_token", "mean_tokens", "max_tokens")}
    files = {
        "modules.json": modules, "sentence_bert_config.json": {"max_seq_length": 16, "do_lower_case": False},
        "1_Pooling/config.json": {"word_embedding_dimension": BERT["hidden_size"], **modes},
    }  # fmt: skip
    if dense:
        module = "linear" if dense == "Identity" else "activation"
        files["2_Dense/config.json"] = {
            "in_features": BERT["hidden_size"], "out_features": 10, "bias": True,
            "activation_function": f"torch.nn.modules.{module}.{dense}",
        }  # fmt: skip
    for name, content in files.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    if dense:
        linear = {"linear.weight": torch.randn(10, BERT["hidden_size"]), "linear.bias": torch.randn(10)}
        save_file(linear, folder / "2_Dense" / "model.safetensors")
    return made


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
    write(
        folder,
        **files,
        tokenizer_config__json={
            "source_lang": "en",
            "target_lang": "de",
            "separate_vocabs": own,
            "tokenizer_class": "MarianTokenizer",
        },
    )
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
    return saved(
        folder, "M2M100ForConditionalGeneration", tokenizer, **{**MARIAN, **ids, "vocab_size": size, **options}
    )


# ---- pictures -------------------------------------------------------------------------------------------------------


def clip(folder: Path) -> Theirs:
    """Two towers, with how pictures are prepared (theirs without torchvision)."""
    write(folder, **byte_level(["<|startoftext|>", "<|endoftext|>"], "</w>"))
    tokenizer = transformers.CLIPTokenizer.from_pretrained(folder)
    text = {"vocab_size": len(tokenizer), "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id, "max_position_embeddings": 32}  # fmt: skip
    seen = {"image_size": 24, "patch_size": 8}
    sizes = {"text_config": {**CLIP["text_config"], **text}, "vision_config": {**CLIP["vision_config"], **seen}}
    model = spread(transformers.CLIPModel(transformers.CLIPConfig(**sizes, projection_dim=14)))
    model.save_pretrained(folder)
    square = {"height": 24, "width": 24}
    transformers.CLIPImageProcessorPil(size={"shortest_edge": 24}, crop_size=square).save_pretrained(folder)
    return Theirs(folder, model, tokenizer)


def lxmert(folder: Path, ending: str = "ForQuestionAnswering") -> Theirs:
    """With BERT's tokenizer; 7 answers."""
    write(folder, vocab__txt=WORDPIECE(), tokenizer_config__json={"do_lower_case": True})
    tokenizer = transformers.BertTokenizer.from_pretrained(folder)
    return saved(folder, f"Lxmert{ending}", tokenizer, **{**LXMERT, "vocab_size": len(tokenizer)})


def vilbert(folder: Path, answers: int = 0, tasks: int = 0) -> Path:
    """The official code's model of tests/against, with words for its ids; also with a head for so many answers, and
    tokens for tasks."""
    source = Path(against.__file__).parent / "vilbert-tiny"
    tensors = load_file(source / "state_dict.safetensors")
    config = json.loads((source / "config.json").read_text())
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    words += [f"word{number}" for number in range(config["vocab_size"] - len(words))]
    torch.manual_seed(0)
    if answers:
        inner, fused = 2 * config["bi_hidden_size"], config["bi_hidden_size"]
        shapes = {"0.weight": (inner, fused), "0.bias": (inner,), "2.weight": (inner,), "2.bias": (inner,),
                  "3.weight": (answers, inner), "3.bias": (answers,)}  # fmt: skip
        tensors |= {f"vil_prediction.logit_fc.{name}": torch.randn(shape) for name, shape in shapes.items()}
    if tasks:
        config["task_specific_tokens"] = True
        tensors["bert.embeddings.task_embeddings.weight"] = torch.randn(tasks, config["hidden_size"])
    write(folder, vocab__txt="\n".join(words) + "\n", config__json=config)
    save_file(tensors, folder / "model.safetensors")
    return folder


def features(path: Path, names: Sequence[str], width: int, classes: int = 0) -> Path:
    """A file of 5 regions of each picture."""
    rng, parts = np.random.default_rng(1), {}
    for name in names:
        parts[f"{name}/features"] = torch.from_numpy(rng.normal(size=(5, width)).astype(np.float32))
        corners = np.sort(rng.uniform(size=(5, 2, 2)), axis=1).reshape(5, 4)
        parts[f"{name}/boxes"] = torch.from_numpy(corners.astype(np.float32))
        if classes:
            parts[f"{name}/classes"] = torch.from_numpy(rng.dirichlet(np.ones(classes), 5).astype(np.float32))
    save_file(parts, path, {"encoder": "a detector"})
    return path


# ---- what both say --------------------------------------------------------------------------------------------------


def generated(made: Theirs, texts: list[str], told: dict[str, str], beam: int, never: list[int]) -> list[str]:
    """Their answers; `never` are tokens that ours never says: what stands for nothing in a text."""
    if "source" in told:
        made.tokenizer.src_lang = told["source"]
    number = made.tokenizer.convert_tokens_to_ids
    begins = {"forced_bos_token_id": number(told["first"])} if "first" in told else {}
    begins |= {"decoder_start_token_id": number(told["from"])} if "from" in told else {}
    batch = made.tokenizer(texts, padding=True, return_tensors="pt")
    given = {key: batch[key] for key in ("input_ids", "attention_mask")}
    said = made.model.generate(
        **given, num_beams=beam, max_new_tokens=LONGEST, do_sample=False, suppress_tokens=never, **begins
    )
    found: list[str] = made.tokenizer.batch_decode(said, skip_special_tokens=True)
    return found


def same_answers(translator: Any, made: Theirs, texts: list[str], tag: str | None, told: dict[str, str]) -> None:
    target, never = translator.tokenizers["target"], translator.options().banned
    last = made.model.generation_config.forced_eos_token_id
    for beam in (1, 4):
        rules = {"length_penalty": "hf", "alpha": 1.0, "max_ratio": 0.0, "max_extra": LONGEST}
        options = translator.options(beam=beam, forced_last=last, **rules)
        found = translator.translate(texts, tag, options, split="never", protect=False)
        wanted = generated(made, texts, told, beam, list(never))
        assert found == wanted, (found, wanted)
        assert len(set(found)) > len(found) // 2, found
    assert set(never).isdisjoint(number for number in target.ids.values() if target.is_text(number))


@torch.no_grad()
def vectors(made: Theirs, texts: list[str], pooling: str, dense: str | None) -> torch.Tensor:
    """The modules of that library, one after the other."""
    batch = made.tokenizer(texts, padding=True, truncation=True, max_length=16, return_tensors="pt")
    states, mask = made.model(**batch).last_hidden_state, batch["attention_mask"][:, :, None]
    found = states[:, 0] if pooling == "cls_token" else (states * mask).sum(1) / mask.sum(1)
    if dense:
        linear = load_file(made.folder / "2_Dense" / "model.safetensors")
        found = functional.linear(found, linear["linear.weight"], linear.get("linear.bias"))
        found = found.tanh() if dense == "Tanh" else found
    return functional.normalize(found, dim=-1)


def converted(folder: Path) -> Path:
    """The same as a model of ours."""
    convert(folder, folder.with_name(f"{folder.name}-ours"))
    return folder.with_name(f"{folder.name}-ours")


def ours(made: Theirs) -> Any:
    """The same, loaded."""
    return heedful.load(converted(made.folder))


@torch.no_grad()
def logits(made: Theirs, *texts: Any, name: str = "logits") -> torch.Tensor:
    """What theirs says of some texts, or of pairs of the first with the second ones."""
    batch = made.tokenizer(*map(list, texts), padding=True, return_tensors="pt")
    found: torch.Tensor = made.model(**batch)[name]
    return found
