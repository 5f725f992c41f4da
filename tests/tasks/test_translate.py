"""The translation task from files to answers, on a toy language: words are turned round."""

from __future__ import annotations

import io
import json
import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from heedful.config import parse_recipe
from heedful.errors import UserError
from heedful.tasks.runs import resume, train
from heedful.tasks.translate import Translator, load
from heedful.tasks.translate.lines import LONGEST_LINE
from heedful.tasks.translate.request import Request
from heedful.tasks.translate.task import Translation
from heedful.train import run as run_module

from .stopping import same_bits_after_a_stop
from .toy import run, write_corpus


def test_a_run_can_be_asked_in_order(translator: Translator) -> None:
    texts = ["alpha beta", "", "   ", "gamma " * 400, "delta"]
    answers = translator.translate(texts)
    assert len(answers) == 5
    assert answers[1] == answers[2] == ""
    alone = [translator.translate([text])[0] for text in texts]
    assert answers == alone


def test_lines_in_are_lines_out(translator: Translator) -> None:
    hostile = [
        b"alpha beta\n", b"\n", b"\xff\xfe\x00\n", b"a\x00b\n", b"x\xe2\x80\xa8y\x85z\x0c\x0b\n", b"</s> <pad> <unk>\n",
        b"\r\n",
        b"y" * (1 << 20) + b"\n", "\U0001f600 é".encode() + b"\n", b" \t \n", b"last without an end",
    ]  # fmt: skip
    out = io.BytesIO()
    Request(translator, {"beam": 2, "max_length": 8}).stream(io.BytesIO(b"".join(hostile)), out)
    lines = out.getvalue().split(b"\n")
    assert len(lines) == len(hostile)
    assert lines[1] == b""
    assert lines[7] == b"[not translated: the line is longer than %d bytes]" % LONGEST_LINE
    assert out.getvalue().count(b"\n") == len(hostile) - 1  # the last line stays without an end
    assert all(b"not translated" not in line for number, line in enumerate(lines) if number != 7)


def test_answers_come_as_lines_come(translator: Translator) -> None:
    """What is there is answered before more is read: a slow writer is not kept waiting."""
    out = io.BytesIO()

    class Slow(io.RawIOBase):
        def __init__(self) -> None:
            self.blocks = [b"alpha\nbe", b"ta\n"]
            self.answered: list[int] = []

        def read(self, size: int = -1) -> bytes:
            self.answered.append(out.getvalue().count(b"\n"))
            return self.blocks.pop(0) if self.blocks else b""

    slow = Slow()
    Request(translator, {}).stream(slow, out)  # type: ignore[arg-type]
    assert slow.answered == [0, 1, 2]


def test_sampling_is_seeded(translator: Translator) -> None:
    answers = []
    for seed in (1, 1, 2):
        out = io.BytesIO()
        options = {"sample": True, "temperature": 2.0, "seed": seed}
        Request(translator, options).stream(io.BytesIO(b"alpha beta gamma\n" * 5), out)
        answers.append(out.getvalue())
    assert answers[0] == answers[1] != answers[2]


def test_stopped_and_resumed_is_the_same_run(tmp_path: Path) -> None:
    recipe = parse_recipe({}, [*write_corpus(tmp_path), "training.steps=20"])
    same_bits_after_a_stop(lambda out: train(recipe, out), tmp_path, Translation, "collate", 13)
    before = {path: path.read_bytes() for path in (tmp_path / "broken").rglob("*") if path.is_file()}
    assert resume(tmp_path / "broken") == 0  # a finished run: nothing left to do
    assert all(path.read_bytes() == content for path, content in before.items())


def test_one_model_for_several_languages(tmp_path: Path) -> None:
    settings = write_corpus(tmp_path)
    twice = [
        f'data.{side}=["{tmp_path}/a.{end}", "{tmp_path}/a.{end}"]'
        for side, end in (("source", "src"), ("target", "tgt"))
    ]
    found = load(run(tmp_path, [*settings, *twice, 'data.tags=["de", "fr"]'], steps=5))
    assert found.tags == ("de", "fr")
    assert found.encode("alpha", "de")[1:] == found.encode("alpha", "fr")[1:]
    assert found.encode("alpha", "de")[0] != found.encode("alpha", "fr")[0]
    for wrong in (None, "es"):
        with pytest.raises(UserError, match=r"de, fr"):
            found.translate(["alpha"], tag=wrong)


def test_options_of_sampling_need_it(translator: Translator) -> None:
    with pytest.raises(UserError, match="add --sample"):
        Request(translator, {"seed": 3}).stream(io.BytesIO(b""), io.BytesIO())


def test_a_model_without_languages_takes_no_tag(translator: Translator) -> None:
    with pytest.raises(UserError, match="takes no tag"):
        translator.translate(["alpha"], tag="de")


def test_separate_vocabularies(tmp_path: Path) -> None:
    found = load(run(tmp_path, [*write_corpus(tmp_path), "tokenizer.joint=false", "model.tie=target"], steps=3))
    assert found.tokenizers["source"] is not found.tokenizers["target"]
    assert len(found.translate(["alpha beta"])) == 1


def test_held_out_pairs_are_not_trained_on(finished: Path) -> None:
    from heedful.data.shards import Shards

    train_part, dev = (Shards.open(finished / "data" / f"{name}-0") for name in ("train", "dev"))
    assert (len(train_part), len(dev)) == (190, 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.preset=bert-tiny", "of the family encoder, not encoder-decoder"),
        ("model.vocab=100", "tokenizer.size"),
        ("model.positions=learned\nmodel.capacity=8", "model.capacity = 8"),
        ("training.device=cuda", "finds none here"),
        ("data.hold_out=150", "at most half"),
        ('data.tags=["de"]\ntask=fill', "task"),
        ('data.tags=["de", "fr"]', "one for each"),
        ('data.source=["/nowhere/a"]', "no such file"),
        ("data.source=[]\ndata.target=[]", "no training data"),
    ],
)
def test_mistakes_are_told_in_one_line(tmp_path: Path, change: str, message: str) -> None:
    settings = [*write_corpus(tmp_path), *change.split("\n"), "training.steps=2"]
    with pytest.raises(UserError, match=message) as told:
        train(parse_recipe({}, settings), tmp_path / "run")
    assert "\n" not in str(told.value)


def test_a_refused_run_leaves_the_folder_free(tmp_path: Path) -> None:
    settings = [*write_corpus(tmp_path), "training.steps=2"]
    (tmp_path / "b.src").write_bytes(b"\xff\n")
    dev = [f'data.dev_{side}=["{tmp_path}/b.src"]' for side in ("source", "target")]
    recipe = parse_recipe({}, [*settings, *dev])
    with pytest.raises(UserError, match="not UTF-8"):
        train(recipe, tmp_path / "run")
    assert train(parse_recipe({}, settings), tmp_path / "run") == 0


def test_a_run_is_not_begun_twice(finished: Path) -> None:
    with pytest.raises(UserError, match="heedful resume"):
        train(parse_recipe({}, [*write_corpus(finished.parent), "training.steps=2"]), finished)


def test_an_unfinished_run_is_no_translator(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(UserError, match="not finished"):
        load(tmp_path)


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "tokenizer.json"])
def test_a_flipped_bit_is_found(finished: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(finished / "model", tmp_path / "model")
    file = tmp_path / "model" / name
    content = file.read_bytes()
    for place in random.Random(1).sample(range(len(content)), 5):
        flipped = bytearray(content)
        flipped[place] ^= 1
        file.write_bytes(flipped)
        with pytest.raises(UserError):
            load(tmp_path / "model")


@pytest.mark.parametrize(
    ("key", "value"), [("longest", 0), ("longest", -5), ("max_ratio", 1e308), ("beam", 10**6), ("alpha", 400.0)]
)
def test_an_edited_way_of_decoding_is_held_to_the_limits(
    finished: Path, tmp_path: Path, key: str, value: float
) -> None:
    """What is in config.json may be changed by hand, seal removed; a wrong value must not lose text."""
    shutil.copytree(finished / "model", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    tree = json.loads(config.read_bytes())
    del tree["seal"]
    tree["decoding"][key] = value
    config.write_text(json.dumps(tree), "utf-8")
    with pytest.raises(UserError, match=rf"config\.json: decoding\.{key} = .* is outside"):
        load(tmp_path / "model")


@pytest.mark.parametrize("weights", [None, [1], "x"])
def test_a_config_without_the_weights_hash_is_refused(finished: Path, tmp_path: Path, weights: object) -> None:
    shutil.copytree(finished / "model", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    tree = json.loads(config.read_bytes())
    del tree["seal"]
    tree["weights"] = weights
    config.write_text(json.dumps(tree), "utf-8")
    with pytest.raises(UserError, match="damaged: its hash is"):
        load(tmp_path / "model")


def test_a_plan_larger_than_the_file_is_refused_before_room_is_made(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished / "model", tmp_path / "model")
    config = tmp_path / "model" / "config.json"
    tree = json.loads(config.read_bytes())
    del tree["seal"]
    for stream in tree["plan"]["streams"]:
        stream["width"] = 10**7
    config.write_text(json.dumps(tree), "utf-8")
    with pytest.raises(UserError, match=r"has shape .*; the plan says"):
        load(tmp_path / "model")


def test_a_model_larger_than_the_machine_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = write_corpus(tmp_path)
    monkeypatch.setattr(run_module, "physical_memory", lambda: 10**5)
    with pytest.raises(UserError, match=r"parameters need .* GB to train, this machine has"):
        run(tmp_path, settings, steps=1)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("texts", [None, [None], [b"a"], "one"])
def test_what_is_no_list_of_texts_is_refused(translator: Translator, texts: Any) -> None:
    with pytest.raises(UserError, match=r"translate takes a list|text 0 is .* not a text"):
        translator.translate(texts)


@pytest.mark.parametrize(
    "options",
    [{"beam": "x"}, {"beam": 1.5}, {"batch": None}, {"alpha": float("inf")}, {"max_ratio": float("nan")},
     {"max_extra": -99}, {"alpha": 400.0}, {"beam": True}],
)  # fmt: skip
def test_options_of_the_wrong_kind_are_refused(translator: Translator, options: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="it must be a"):
        translator.options(**options)
    with pytest.raises(UserError, match=r"model\.options"):
        translator.translate(["a"], options={"beam": 1})  # type: ignore[arg-type]


def test_a_line_of_exactly_the_limit_is_translated(translator: Translator) -> None:
    lines = [b"a" * LONGEST_LINE + b"\n", b"a" * (LONGEST_LINE + 1) + b"\n"]
    out = io.BytesIO()
    Request(translator, {"max_length": 1, "beam": 1}).stream(io.BytesIO(b"".join(lines)), out)
    answers = out.getvalue().split(b"\n")
    assert b"not translated" not in answers[0]
    assert b"not translated" in answers[1]
