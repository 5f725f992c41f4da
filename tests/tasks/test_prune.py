"""`heedful prune`: a smaller model that translates, says what it lost, and can be trained further."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from heedful.config import parse_recipe
from heedful.data.readers import read_parallel
from heedful.errors import UserError
from heedful.inside.importance import ablation, importance, least_important
from heedful.model.pruning import attentions, without_heads
from heedful.tasks.runs import train
from heedful.tasks.translate import load
from heedful.tasks.translate.prune import _batches, _measured, _Pair, prune

from .toy import write_corpus


def pruned(finished: Path, folder: Path, share: float = 0.5, **options: Any) -> list[str]:
    write_corpus(folder, 40, seed=5)
    return list(prune(finished, folder / "a.src", folder / "a.tgt", share, folder / "small", **options))


def test_half_of_the_heads_go_and_the_change_is_told(finished: Path, tmp_path: Path) -> None:
    lines = pruned(finished, tmp_path)
    small, whole = load(tmp_path / "small"), load(finished)
    heads = [sum(attend.heads for _, attend in attentions(one.model.plan)) for one in (whole, small)]
    assert heads[1] == heads[0] // 2
    sizes = [sum(p.numel() for p in one.model.parameters()) for one in (whole, small)]
    told = "\n".join(lines)
    assert f"heads {heads[0]} -> {heads[1]}, parameters {sizes[0]:,} -> {sizes[1]:,}" in told
    found = re.search(r"loss ([\d.]+) -> ([\d.]+)", told)
    assert found
    assert float(found[1]) < float(found[2])
    for name in ("BLEU", "chrF2", "sentences a second"):
        assert re.search(rf"^{name} [\d.]+ -> [\d.]+ \(greedy\)$", told, re.M)
    answers = small.translate(["alpha beta gamma", "", "delta"])
    assert answers[1] == ""
    assert answers[0]
    kept = json.loads((tmp_path / "small" / "config.json").read_bytes())["pruned"]
    assert {address: len(units) for address, units in kept.items()} == {
        address: attend.heads for address, attend in attentions(small.model.plan) if address in kept
    }


def test_pruned_again_it_knows_all_that_went(finished: Path, tmp_path: Path) -> None:
    pruned(finished, tmp_path)
    first = json.loads((tmp_path / "small" / "config.json").read_bytes())["pruned"]
    (tmp_path / "again").mkdir()
    pruned(tmp_path / "small", tmp_path / "again", 0.3)
    second = json.loads((tmp_path / "again" / "small" / "config.json").read_bytes())["pruned"]
    assert second.keys() >= first.keys()
    assert all(set(second[where]) <= set(units) for where, units in first.items())
    assert sum(map(len, second.values())) < sum(map(len, first.values())) + 4 * (len(second) - len(first))


def test_heads_are_chosen_by_importance(finished: Path, tmp_path: Path) -> None:
    """The half that matters least costs less than the other half."""
    write_corpus(tmp_path, 60, seed=6)
    translator = load(finished)
    pairs = [
        _Pair(pair, translator.encode(pair.source), translator.tokenizers["target"].encode(pair.target))
        for pair in read_parallel(tmp_path / "a.src", tmp_path / "a.tgt")
    ]
    model = translator.model
    found = importance(model, _batches(translator, pairs))
    losses = []
    for scores in (found, {address: -one for address, one in found.items()}):
        translator.model = translator.models = without_heads(model, least_important(scores, 0.4))
        losses.append(_measured(translator, pairs, None).loss)
    assert losses[0] < losses[1]


def test_heads_may_be_chosen_by_the_loss_without_each(finished: Path, tmp_path: Path) -> None:
    pruned(finished, tmp_path, by="ablation")
    translator = load(finished)
    pairs = [
        _Pair(pair, translator.encode(pair.source), translator.tokenizers["target"].encode(pair.target))
        for pair in read_parallel(tmp_path / "a.src", tmp_path / "a.tgt")
    ]
    keep = least_important(ablation(translator.model, _batches(translator, pairs)), 0.5)
    kept = json.loads((tmp_path / "small" / "config.json").read_bytes())["pruned"]
    assert kept == {address: keep[address] for address in kept}
    assert keep != least_important(importance(translator.model, _batches(translator, pairs)), 0.5)


def test_rounds_are_prunings_one_after_another(finished: Path, tmp_path: Path) -> None:
    """Judged anew in between, to the same heads, weights and record of what went."""
    for name in ("rounds", "first", "second"):
        (tmp_path / name).mkdir()
    pruned(finished, tmp_path / "rounds", 0.5, rounds=2)
    pruned(finished, tmp_path / "first", 0.25)
    pruned(tmp_path / "first" / "small", tmp_path / "second", 1 / 3)
    ours, theirs = (tmp_path / name / "small" for name in ("rounds", "second"))
    for file in ("config.json", "model.safetensors"):
        assert (ours / file).read_bytes() == (theirs / file).read_bytes()
    (tmp_path / "one").mkdir()
    pruned(finished, tmp_path / "one", 0.5)
    kept = [
        json.loads((tmp_path / name / "small" / "config.json").read_bytes())["pruned"] for name in ("rounds", "one")
    ]
    assert kept[0] != kept[1]


def test_training_goes_on_from_a_pruned_model(finished: Path, tmp_path: Path) -> None:
    pruned(finished, tmp_path)
    settings = [*write_corpus(tmp_path), f'training.start="{tmp_path}/small"', "training.steps=30"]
    settings = [one for one in settings if not one.startswith(("model.", "tokenizer."))]
    assert train(parse_recipe({}, settings), tmp_path / "run") == 0
    assert load(tmp_path / "run").model.plan == load(tmp_path / "small").model.plan


def test_what_cannot_be_done_is_told(finished: Path, tmp_path: Path) -> None:
    for share in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(UserError, match="more than 0 and less than 1"):
            pruned(finished, tmp_path, share)
    with pytest.raises(UserError, match="no head can go"):
        pruned(finished, tmp_path, 0.001)
    with pytest.raises(UserError, match="takes no tag"):
        pruned(finished, tmp_path, tag="de")
    assert not (tmp_path / "small").exists()
    pruned(finished, tmp_path)
    with pytest.raises(UserError, match="exists already"):
        pruned(finished, tmp_path)
    (tmp_path / "a.tgt").write_text("one\n")
    with pytest.raises(UserError, match=r"a\.src"):
        list(prune(finished, tmp_path / "a.src", tmp_path / "a.tgt", 0.5, tmp_path / "other"))
    for name in ("e.src", "e.tgt"):
        (tmp_path / name).write_text("\n\n")
    with pytest.raises(UserError, match="no pair of at most 256 tokens"):
        list(prune(finished, tmp_path / "e.src", tmp_path / "e.tgt", 0.5, tmp_path / "other"))
