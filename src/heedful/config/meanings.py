"""What every key of a recipe means, in a line each, and a recipe with all of them written out.

A test holds the table to the sections: a new key needs a line here.
"""

from __future__ import annotations

import inspect
import typing
from typing import Any

from ..model.families import FAMILIES
from ..model.presets import PRESETS
from .sections import SECTIONS, Recipe, named_choices
from .tasks import TASKS
from .toml import builtins_of, toml_value

MEANINGS = {
    "task": "What the model is for.",
    "seed": "Everything random follows from it: the same seed, the same model.",
    "data.source": "Files with one sentence a line to translate from. Found as named, or under --data DIR.",
    "data.target": "Files with their translations, line by line.",
    "data.pairs": "Files with both sides: .tsv (source, tab, target), .jsonl, .po, .tmx, .xlf; any may be .gz.",
    "data.dev_source": "Files for validation; without any, some pairs are held out of training.",
    "data.dev_target": "Their translations.",
    "data.dev_pairs": "Files for validation with both sides.",
    "data.test_source": "Files of a test: nothing of them is trained on.",
    "data.test_target": "Their translations.",
    "data.test_pairs": "Files of a test with both sides.",
    "data.columns": "Which two columns of a .tsv are source and target, from 1; not set: it must have just two.",
    "data.tags": "The target language of each training file, in the order target, pairs; empty: there is one language.",
    "data.dev_tags": "The same for the dev files; empty: they come in the same order.",
    "data.weights": "How often each training file is seen in an epoch, in the order target, pairs; empty: once each.",
    "data.temperature": "Instead of weights: languages (or files) of n pairs are seen as often as n^(1/temperature).",
    "data.prefix": 'Put before every source, in training and in use: what is to be done ("summarise:").',
    "data.hold_out": "Pairs held out where there are no dev files; not set: a twentieth, at most 1,000.",
    "data.longest": "Most tokens of a text: pairs with a longer side are left out, other texts cut or read in windows.",
    "data.placeholders": "Share of pairs that teach placeholders with nothing to protect; others every epoch.",
    "data.train": "Files to learn from. Found as named, or under --data DIR.",
    "data.dev": "Files for validation; without any, a share of training is held out.",
    "data.test": "Files of a test: scored once, at the end.",
    "data.dev_share": "Share of training that is held out where there are no dev files.",
    "data.documents": "What one document is: between two, nothing is to be learned.",
    "data.fields": "Columns (by header, or counted from 1) or keys to read, in the task's order; empty: its own names.",
    "data.labels": "One label an example, several (separated by commas), or a number to be predicted.",
    "data.label_until": "A label ends before this; empty: it is whole.",
    "data.answers": "Most answers that are told apart: those that training has most often.",
    "data.stride": "Tokens from one window of a long text to the next.",
    "data.longest_question": "A question is cut after so many tokens.",
    "data.longest_answer": "Answers have at most so many tokens.",
    "masking.share": "Share of a text's tokens that are hidden.",
    "masking.whole_words": "Hide all tokens of a word, or none.",
    "masking.next_sentence": "Learn as well whether two passages follow one another.",
    "masking.regions": "Share of a picture's regions that are hidden.",
    "matching.contrast": "How much likeness of whole captions and pictures counts, before the streams meet; 0: not.",
    "matching.alignment": "How much it counts whether a pair belongs together, after the streams have met; 0: not.",
    "matching.text": "How much hidden words count; 0: not.",
    "matching.regions": "How much hidden patches or regions count; 0: not.",
    "matching.negatives": "Pairs that do not belong together, for each that does.",
    "matching.hard": "Share of those whose captions have a word in common.",
    "matching.sharpness": "What cosines are multiplied by in likeness.",
    "pictures.size": "Height and width, in pixels, that pictures are scaled to.",
    "pictures.edge": "Edge of the square patches that a picture is cut into, in pixels.",
    "pictures.zero": "Brightness that counts as nothing: the middle; 0 for pictures on black, 255 on white.",
    "pictures.features": "A file of features instead of patches, or the network that makes them; not set: patches.",
    "pictures.shift": "In training, pictures are moved by up to so many pixels.",
    "pictures.mirror": "In training, pictures are mirrored; only where left and right mean nothing.",
    "cleaning.duplicates": "Leave out a pair that was there before.",
    "cleaning.same_source": "Leave out a pair whose source was there before: the first translation stays.",
    "cleaning.leaks": "Leave out a training pair that is in the dev or test files.",
    "cleaning.copies": "Leave out a pair whose target is the source.",
    "cleaning.script": "Leave out a pair with a side that is mostly not in the corpus' usual script.",
    "cleaning.numbers": "Leave out a pair whose sides have other digits, whatever their order and separators.",
    "cleaning.ratio": "Leave out a pair with a side so many times as long as is usual for the other; not set: off.",
    "cleaning.characters": "Leave out a pair with a side of more characters; not set: off.",
    "cleaning.words": "Leave out a pair with a side of more words; not set: off.",
    "tokenizer.kind": "How text is cut into tokens.",
    "tokenizer.size": "Entries of the vocabulary; not set: chosen by how much data there is.",
    "tokenizer.joint": "One vocabulary for both sides.",
    "tokenizer.lowercase": "Learn and translate in lower case.",
    "tokenizer.cut": "What ends a word: another class of characters; so, and each digit alone; or only white space.",
    "tokenizer.sampling": "Subword sampling: how likely a merge is left out; 0: off, 0.1 is usual for small data.",
    "tokenizer.segmentations": "How many segmentations of each word are drawn where there is sampling.",
    "tokenizer.placeholders": "Tokens that stand for tags, variables, addresses and the like, which must be kept.",
    "training.steps": "Stop after so many steps; not set: no such end.",
    "training.limit": "Stop after this time: 90s, 60m, 2h; not set, nor steps: 60m.",
    "training.batch_tokens": "Real target tokens of a micro-batch.",
    "training.accumulate": "Micro-batches of a step, in each process.",
    "training.rate": "The highest learning rate (for noam: the factor of the paper's formula).",
    "training.schedule": "How the learning rate goes.",
    "training.warmup": "Steps of a rising learning rate; not set: by the run's length.",
    "training.betas": "Adam's two decays.",
    "training.eps": "Adam's epsilon.",
    "training.weight_decay": "Decoupled weight decay of matrices (AdamW).",
    "training.clip": "Longest gradient; 0: never clipped.",
    "training.label_smoothing": "Probability that is spread over the whole vocabulary.",
    "training.precision": "Of the products; the weights stay fp32.",
    "training.device": "auto, cpu, cuda, cuda:0 or mps.",
    "training.processes": "Processes that share each step; auto: one a core.",
    "training.threads": "Threads of each process; auto: what the cores allow.",
    "training.validate_every": "Steps between validations.",
    "training.save_every": "Steps between checkpoints.",
    "training.save_seconds": "Seconds after which a checkpoint is saved anyway.",
    "training.validation_sentences": "Dev sentences translated for a metric other than loss.",
    "training.metric": "Which validation is the best: of the least loss, or the highest of another score.",
    "training.patience": "Stop after so many validations in a row without a better one; 0: never.",
    "training.keep": "Newest checkpoints that are kept; the best is kept besides.",
    "training.final": "Which weights become the model; not set: average if there is one, else best.",
    "training.average": "Validations whose weights are averaged into the finished model; 1: none.",
    "training.ema": "Decay of a running average of the weights, which is then validated and finished; 0: off.",
    "training.start": "A finished translator to begin from, with its tokenizers (--from).",
    "training.teacher": "A finished translator with the same tokenizers to learn from.",
    "training.distillation": "The teacher's share of the loss.",
    "training.temperature": "Softens the teacher's and the student's distributions; 1: as they are.",
    "training.r_drop": "Weight of the divergence between two passes with other dropout; 0: one pass.",
    "training.token_dropout": "Share of tokens that are read as unknown in training; 0: none.",
    "training.reads": "What a text's vector is made from: the mean of its tokens' states, or the first token's.",
    "training.sharpness": "Multiplies the cosines of vectors that are compared: higher looks more at the nearest.",
    "decoding.beam": "Hypotheses kept; 1 is greedy.",
    "decoding.length_penalty": "How hypotheses compare by length.",
    "decoding.alpha": "Strength of the length penalty.",
    "decoding.max_ratio": "A translation has at most so many tokens for each of the source ...",
    "decoding.max_extra": "... and so many more.",
    "decoding.longest": "A text of more tokens is translated in pieces.",
    "decoding.protect": "Keep tags, variables, addresses and numbers; off for a model that is to change them.",
    "card.name": "What the model card calls the model; empty: as the run's folder.",
    "card.license": "Of the model, as your data allow it, for example CC-BY-4.0; the card says if it is not stated.",
    "card.cite": "How to cite the model.",
    "model.preset": "Named sizes, see heedful show; not set: by how much data there is. Options below win over it.",
    "model.width": "Numbers for each token.",
    "model.layers": "Layers of the encoder, and of the decoder where it has no number of its own.",
    "model.decoder_layers": "Layers of the decoder.",
    "model.heads": "Attention heads.",
    "model.key_heads": "Heads of keys and values, a divisor of heads; not set: as many.",
    "model.head_width": "Width of a head; not set: width / heads.",
    "model.feedforward": "Inner width of the feed-forward networks.",
    "model.activation": "Of the feed-forward networks.",
    "model.gated": "Feed-forward networks with a gate (GLU).",
    "model.place": "Norms before or after each part; pre trains more easily.",
    "model.norm": "Kind of the norms.",
    "model.eps": "Epsilon of the norms.",
    "model.positions": "How tokens know where they are.",
    "model.sinusoid": "Order of sines and cosines.",
    "model.capacity": "Positions that are learned; others have no limit.",
    "model.offset": "First learned position.",
    "model.scaled": "Embeddings times the square root of the width.",
    "model.embedding_norm": "A norm after the embeddings.",
    "model.dropout": "Dropout after each part and the embeddings.",
    "model.attention_dropout": "Dropout of attention weights.",
    "model.bias": "Biases of linear layers.",
    "model.output_bias": "A bias of the output layer.",
    "model.segments": "Kinds of passages that are told apart: 2 for pairs of texts.",
    "model.pool": "A vector for a whole text, made from its first token.",
    "model.window": "How many tokens back attention sees; not set: all.",
    "model.initialization": "How weights begin; transformer: by the size of each matrix, for narrow streams.",
    "model.picture_width": "Numbers for each region or patch.",
    "model.picture_layers": "Layers of the picture's stream.",
    "model.picture_heads": "Attention heads of the picture's stream.",
    "model.picture_feedforward": "Inner width of the picture's feed-forward networks.",
    "model.co_width": "Width of queries, keys and values where the streams attend to each other.",
    "model.co_heads": "Attention heads where the streams attend to each other.",
    "model.text_before": "Before which of the text's layers the streams meet, ...",
    "model.picture_before": "... and before which of the picture's.",
    "model.picture_capacity": "Positions of patches that are learned, besides their boxes; 0: none.",
    "model.picture_positions": "buckets: patches learn how far others are, line by line (T5's); for scenes on a grid.",
    "model.tie": "Which of both embeddings and the output are one matrix; target: the target's and the output.",
}
# Sizes that data and tokenizer say.
GIVEN = ("vocab", "target_vocab", "outputs", "features", "regions", "edge", "channels")
# What is shown of keys that have no default.
EXAMPLES: dict[str, Any] = {
    "data.columns": [1, 2],
    "data.temperature": 5.0,
    "data.hold_out": 1000,
    "cleaning.ratio": 3.0,
    "cleaning.characters": 1000,
    "cleaning.words": 200,
    "tokenizer.size": 8000,
    "training.steps": 10000,
    "training.limit": "60m",
    "training.warmup": 1000,
    "training.final": "best",
    "training.start": "RUN",
    "training.teacher": "RUN",
    "model.decoder_layers": 4,
    "model.key_heads": 4,
    "model.head_width": 32,
    "model.window": 256,
    "pictures.features": "features.safetensors",
}


def model_keys(task: str) -> list[str]:
    """The keys of a task's [model]: a preset, and those options of its family that it may say."""
    options = inspect.signature(FAMILIES[TASKS[task].family]).parameters
    return ["preset", *(key for key in options if key not in GIVEN)]


def commented(recipe: Recipe) -> str:
    """A recipe as TOML with every key that its task has and its meaning; those that are not set are comments.

    Read back it gives an equal recipe.
    """
    checked = ["# Look at data and recipe with: heedful check THIS"] * (recipe.task == "translate")
    lines = [
        "# A recipe of heedful.",
        *checked,
        f"# Train with: heedful train {recipe.task} --recipe THIS --out RUN",
        "# A key with a # in front is not set; its value is an example, or what follows from other keys.",
        "",
    ]
    tree, task = builtins_of(recipe), TASKS[recipe.task]
    examples = EXAMPLES | _options(recipe)
    for name, value in tree.items():
        if not isinstance(value, dict):
            lines += _entry(name, value, None, None)
    for section, values in tree.items():
        if isinstance(values, dict):
            lines += ["", f"[{section}]"]
            hints = typing.get_type_hints(SECTIONS.get(section, FAMILIES[task.family]))
            for key in model_keys(recipe.task) if section == "model" else task.keys[section]:
                name = f"{section}.{key}"
                lines += _entry(name, values.get(key), examples.get(name), hints.get(key))
    return "\n".join(lines) + "\n"


def _options(recipe: Recipe) -> dict[str, Any]:
    """What the options of the task's family are where [model] does not say."""
    task = TASKS[recipe.task]
    own = {name: one.default for name, one in inspect.signature(FAMILIES[task.family]).parameters.items()}
    chosen = recipe.model.get("preset", task.preset)
    _, preset = PRESETS.get(chosen, (None, {}))
    found = {f"model.{key}": value for key, value in {**own, **preset, "preset": chosen}.items() if value is not None}
    return found


def _entry(name: str, value: Any, shown: Any, hint: Any) -> list[str]:
    key = name.split(".")[-1]
    choices = named_choices(hint)
    meaning = f"# {MEANINGS[name]}" + (f" One of: {', '.join(choices)}." if choices else "")
    return [meaning, f"{key} = {toml_value(value)}" if value is not None else f"# {key} = {toml_value(shown)}"]
