"""The report on heads: every task's examples, and what it says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful.data.tagged import Sentence
from heedful.errors import UserError
from heedful.inside import alignment, measures, probing
from heedful.inside.probing import capture
from heedful.tasks.looking import heads
from heedful.tasks.looking.examples import GOLD, Files, Gold, batches, merged, some
from heedful.tasks.looking.kinds import kinds_of, names_of, patterns
from heedful.tasks.looking.lines import line_of
from heedful.tasks.looking.reading import Row, tokens
from heedful.text.pipeline import MASK

from . import tiny
from .test_calling import call


def write_examples(folder: Path) -> dict[str, Path]:
    """A file of examples for every task, by task."""
    for name in ("q.png", "p.png"):
        tiny.picture(folder).rename(folder / name)
    context = "a fox and a bird . the river is old ."
    files = {
        "translate": ("a.tsv", "the fox\ta bird .\na bird sees the fox\tthe old river .\nthe river\tis old .\n"),
        "write": ("a.txt", "the red fox sees a bird .\n"),
        "fill": ("b.txt", "the red fox sees a bird .\na fox and a bird .\n"),
        "classify": ("c.tsv", "text\tlabel\nthe fox\tgood\na bird\tbad\nthe old river\tso-so\n"),
        "tag": ("d.conll", "the O\nfox B-X\n\na O\nbird B-X\nsings O\n"),
        "answer": ("e.jsonl", json.dumps({
            "id": "1", "question": "who ?", "context": context, "answers": {"text": ["fox"], "answer_start": [2]},
        }) + "\n"),
        "embed": ("f.tsv", "first\tsecond\nthe fox\ta fox\na bird\tthe bird\nold river\tthe river\n"),
        "caption": ("g.tsv", "picture\tcaption\np.png\ta red fox\np.png\tthe bird\n"),
        "match": ("h.tsv", "picture\tcaption\np.png\ta red fox\np.png\tthe bird\nq.png\tan old river\n"),
        "ask": ("i.tsv", "picture\tquestion\tanswer\np.png\twhere is it ?\tred\np.png\twho ?\ttwo\n"),
    }  # fmt: skip
    for name, content in files.values():
        (folder / name).write_text(content, "utf-8")
    return {task: folder / name for task, (name, _) in files.items()}


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_examples(tmp_path_factory.mktemp("examples"))


def golds(task: str, examples: dict[str, Path], most: int = 100) -> list[Gold]:
    loaded = tiny.of(task)
    return next(read for kind, read in GOLD.items() if isinstance(loaded, kind))(loaded, Files([examples[task]], most))


@pytest.mark.parametrize("task", tiny.TASKS)
def test_every_task_has_a_report(task: str, examples: dict[str, Path]) -> None:
    loaded = tiny.of(task)
    report = heads.head_report(loaded, "tiny", Files([examples[task]], 100))
    assert (report.task, report.data) == (task, examples[task].name)
    assert [kind.name for kind in report.kinds] == names_of(loaded.model.plan)
    attends = {f"{where}.{one.stream}": one for _, where, block in loaded.model.plan.blocks() for one in block.attends}
    alone = task == "write"  # of a single example nothing is told apart, but here there is none to be told from
    for kind in report.kinds:
        shape = [attends[address].heads for address in kind.addresses]
        for table in (*kind.measures.values(), kind.importance, kind.ablation):
            assert table is not None or alone
            assert table is None or [len(row) for row in table] == shape
    assert report.loss is not None
    assert report.loss > 0


def test_captions_of_one_picture_are_no_strangers(examples: dict[str, Path]) -> None:
    """Two captions of p.png and one of q.png: each is wrong beside the other picture alone."""
    own, every = tiny.of("match"), golds("match", examples)
    ((inputs, labels),) = batches(own.model, every)
    assert labels["alignment"].ids.tolist() == [0, 0, 0, 1, 1, 1]
    texts, seen = (np.split(getattr(inputs[name], part).numpy(), np.cumsum(inputs[name].layout.lengths)[:-1])
                   for name, part in (("text", "ids"), ("picture", "pixels")))  # fmt: skip
    for row, (text, shown) in enumerate([(0, 0), (1, 1), (2, 2), (0, 2), (1, 2), (2, 0)]):
        read: Any = every[text].row.inputs["text"]
        picture: Any = every[shown].row.inputs["picture"]
        assert texts[row].tolist() == read.ids.tolist()
        assert np.array_equal(seen[row], picture.pixels.numpy())
    ((_, labels),) = batches(own.model, every[:2])
    assert labels["alignment"].ids.tolist() == [0, 0], "there is no other picture"


def test_texts_that_say_the_same_are_no_strangers(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("first\tsecond\nthe fox\ta fox\nthe fox\tthe bird\nold river\tthe river\n")
    ((_, labels),) = batches(tiny.of("embed").model, golds("embed", {"embed": path}))
    groups = labels["embedding"].ids
    shared = [[bool((one == other).any()) for other in groups] for one in groups]
    assert shared == [[True, True, False], [True, True, False], [False, False, True]]


@pytest.mark.parametrize("task", ["translate", "write", "fill", "classify", "tag", "answer", "ask", "caption"])
def test_batches_say_what_each_example_says_alone(task: str, examples: dict[str, Path]) -> None:
    every, model = golds(task, examples), tiny.of(task).model
    with torch.no_grad():
        alone = sum(float(sums.loss) for gold in every for sums in model(gold.row.inputs, gold.labels).values())
        together = sum(
            float(sums.loss) for inputs, labels in batches(model, every) for sums in model(inputs, labels).values()
        )
    assert together == pytest.approx(alone, rel=1e-5)


def test_the_loss_of_a_translation_is_that_of_its_tokens(examples: dict[str, Path]) -> None:
    translator, (first, *_) = tiny.of("translate"), golds("translate", examples)
    own = translator.tokenizers["target"]
    said = [*own.encode("a bird ."), own.end]
    with torch.no_grad():
        states, layouts = translator.model.encode(first.row.inputs)
        chances = translator.model.logits("next_token", states, layouts).log_softmax(-1)
        sums = translator.model(first.row.inputs, first.labels)["next_token"]
    assert float(sums.nll) == pytest.approx(-float(chances[range(len(said)), said].sum()), rel=1e-5)


def test_measures_are_means_over_the_examples(examples: dict[str, Path]) -> None:
    report = heads.head_report(tiny.of("translate"), "tiny", Files([examples["translate"]], 100))
    model, tables = tiny.of("translate").model, []
    pairs = []
    for gold in golds("translate", examples):
        seen = capture(model, gold.row.inputs, patterns(model.plan))
        kind = kinds_of(model, seen, gold.row.lines, gold.row.asks)[-1]
        tables.append(measures.measure(kind, gold.row.named)["entropy"])
        pairs.append((kind, gold.row.named))
    assert np.allclose(report.kind("target.source").measures["entropy"], np.mean(tables, axis=0))
    best = [(one.layer, one.head) for one in report.kind("target.source").aligned]
    assert best == alignment.best_heads(pairs, heads.BEST)
    assert report.kind("source.source").aligned == ()


def test_ablation_is_what_the_loss_grows_by_without_a_unit(examples: dict[str, Path]) -> None:
    """Heads that share keys and values are judged together, and have the same number."""
    loaded = tiny.of("translate")
    report = heads.head_report(loaded, "tiny", Files([examples["translate"]], 100))
    kind = report.kind("target.source")
    assert kind.ablation is not None
    for row in kind.ablation:
        assert row[0] == row[1] != row[2] == row[3]
    every, total, count = golds("translate", examples), 0.0, 0
    with torch.no_grad():
        for gold in every:
            before = loaded.model(gold.row.inputs, gold.labels)["next_token"]
            with loaded.model.watched(probing.heads_off({"target.1.source": [2, 3]})):
                states, layouts = loaded.model.encode(gold.row.inputs)
                after = loaded.model.head_loss("next_token", states, layouts, gold.labels["next_token"], 0.0)
            total, count = total + float(after.loss - before.loss), count + before.count
    assert kind.ablation[1][2] == pytest.approx(total / count, abs=1e-5)


def test_few_of_many_are_evenly_spread(tmp_path: Path) -> None:
    assert some(3, range(9)) == [0, 4, 8]
    assert some(20, range(3)) == [0, 1, 2]
    (tmp_path / "a.tsv").write_text("".join(f"fox {'a ' * n}\tbird\n" for n in range(30)))
    report = heads.head_report(tiny.of("translate"), "tiny", Files([tmp_path / "a.tsv"], 5))
    assert report.examples == 5
    assert any("evenly spread" in note for note in report.notes)


def test_features_go_to_the_words_they_are_of() -> None:
    own = tiny.tokenizer()
    line = line_of("text", "text", own, [own.start, *own.encode("the fox sees (a) bird."), own.end])
    sentence = Sentence(("the", "fox", "sees", "(", "a", ")", "bird", "."), ("D", "N", "V", "P", "D", "P", "N", "P"))
    values = heads.values_of(line, sentence)
    plain = {word: value for word, value in zip(line.words, values, strict=True) if value is not None}
    assert (plain["the"], plain["fox"], plain["sees"], plain["bird"]) == ("D", "N", "V", "N")
    assert (values[0], values[-1]) == (None, None)


def test_heads_that_follow_a_feature_are_found(examples: dict[str, Path], tmp_path: Path) -> None:
    lines = ["the fox sees a bird", "a bird sees the old fox", "the river sees a fox", "a fox and the bird"] * 4
    values = {"fox": "N", "bird": "N", "river": "N", "the": "D", "a": "D", "sees": "V", "old": "A", "and": "C"}
    (tmp_path / "a.txt").write_text("\n\n".join(lines), "utf-8")
    (tmp_path / "pos.tsv").write_text(
        "\n\n".join("\n".join(f"{word}\t{values[word]}" for word in line.split()) for line in lines) + "\n", "utf-8"
    )
    (tmp_path / "b.tsv").write_text("".join(f"{line}\tthe fox\n" for line in lines), "utf-8")
    found = heads.head_report(tiny.of("translate"), "tiny", Files([tmp_path / "b.tsv"], 100), tmp_path / "pos.tsv")
    followed = [one for kind in found.kinds for one in kind.followed]
    assert followed
    assert {one.value for one in followed} <= {"N", "D", "V", "A", "C", "same"}
    assert all(one.feature == "pos" and one.share > one.placed for one in followed)
    assert found.kind("target.target").followed == (), "the feature is of the source"
    (tmp_path / "pos.tsv").write_text("another\tN\nsentence\tN\n", "utf-8")
    with pytest.raises(UserError, match="no sentence of it is example 1"):
        heads.head_report(tiny.of("translate"), "tiny", Files([tmp_path / "b.tsv"], 100), tmp_path / "pos.tsv")


def test_a_hidden_word_has_the_value_of_what_it_hides(tmp_path: Path) -> None:
    lines = ["the red fox sees a bird .", "A small bird sees the old river ."]
    (tmp_path / "a.txt").write_text("\n".join(line.lower() for line in lines), "utf-8")
    own = golds("fill", {"fill": tmp_path / "a.txt"})
    assert any(MASK in gold.row.lines["text"].words for gold in own)
    (tmp_path / "pos.tsv").write_text("\n\n".join("\n".join(f"{word}\t{word.upper()}" for word in line.split())
                                                 for line in lines) + "\n", "utf-8")  # fmt: skip
    found = heads._sentences(tmp_path / "pos.tsv", own, Files([tmp_path / "a.txt"], 100))
    for values, gold, line in zip(found, own, lines, strict=True):
        plain, read = gold.plain, gold.row.lines["text"]
        assert plain is not None
        assert len(values) == len(read.words)
        for place, word in enumerate(read.word):
            beneath = plain.words[plain.word[place]]
            assert values[word] == (None if plain.control[plain.word[place]] else beneath.upper())
        assert {value for value in values if value} == {word.upper() for word in line.split()}


def test_a_feature_is_found_for_texts_as_models_read_them(tmp_path: Path) -> None:
    """A text that was cut is the beginning of one sentence; case and accents may be gone."""
    own = tiny.tokenizer()
    gold = _gold(own, "the fox sees")
    path = tmp_path / "pos.tsv"
    path.write_text("Thé\tD\nFox\tN\nsees\tV\nthe\tD\nbird\tN\n\nthe\tD\nriver\tN\n", "utf-8")
    (values,) = heads._sentences(path, [gold], Files([tmp_path / "a"], 1))
    assert [value for value in values if value] == ["D", "N", "V"]
    path.write_text(path.read_text("utf-8") + "\nthe\tX\nfox\tX\nsees\tX\nme\tX\n", "utf-8")
    with pytest.raises(UserError, match="no sentence of it is example 1"):  # it might be either
        heads._sentences(path, [gold], Files([tmp_path / "a"], 1))


def _gold(own: Any, text: str) -> Gold:
    line = line_of("text", "text", own, [own.start, *own.encode(text), own.end])
    return Gold(Row({}, {"text": line}, ("text",)), {})


def test_rows_are_put_end_to_end() -> None:
    own = tiny.of("classify")
    rows: list[Any] = [gold.row.inputs["text"] for gold in _two(own)]
    both: Any = merged(rows)
    assert both.ids.tolist() == [*rows[0].ids.tolist(), *rows[1].ids.tolist()]
    assert both.layout.lengths.tolist() == [rows[0].layout.tokens, rows[1].layout.tokens]


def _two(loaded: Any) -> list[Gold]:
    return [Gold(Row({"text": tokens(ids, loaded.model)}, {}, ("text",)), {}) for ids in ([1, 5, 2], [1, 6, 7, 2])]


@pytest.mark.parametrize("suffix", ["", ".html", ".json"])
def test_the_command_writes_a_report(
    folder: Path, examples: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str], suffix: str,
) -> None:  # fmt: skip
    to: list[str] = ["-o", str(tmp_path / f"a{suffix}")] if suffix else []
    monkeypatch.setenv("COLUMNS", "60")
    run: Callable[..., int] = call
    assert run(monkeypatch, "-m", folder / "fills", "--heads", examples["fill"], *to) == 0
    out = capfd.readouterr().out
    if not suffix:
        assert "fill · fills" in out
        assert max(map(len, out.split("\n"))) <= 60
    else:
        content = (tmp_path / f"a{suffix}").read_text("utf-8")
        assert json.loads(content)["task"] == "fill" if suffix == ".json" else "<html" in content
