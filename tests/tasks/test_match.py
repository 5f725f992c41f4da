"""Matching from files to ranked pictures, on drawn squares: what is learnt, what is scored, what is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from heedful.cli import app
from heedful.config import parse_recipe
from heedful.data.captioned import read_captioned
from heedful.data.gallery import look_at
from heedful.data.regions import with_whole
from heedful.errors import UserError
from heedful.model.embeddings import PatchInput
from heedful.tasks import finding
from heedful.tasks import match as task
from heedful.tasks.match import Matcher, load
from heedful.tasks.match.batches import Pairs, without
from heedful.tasks.match.evaluating import found_in, misses, sections
from heedful.tasks.match.matcher import pictures_in, ranked
from heedful.tasks.runs import report, train

from .squares import write_pairs
from .stopping import same_bits_after_a_stop


def recipe_of(settings: list[str], *more: str) -> Any:
    return parse_recipe({"task": "match"}, [*settings, *more])


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    write_pairs(folder)
    return folder


@pytest.fixture(scope="module")
def finished(given: Path) -> Path:
    few = ("training.steps=160", "training.validate_every=160", "masking.share=0", "masking.regions=0")
    assert train(recipe_of(write_pairs(given), *few), given / "run") == 0
    return given / "run"


@pytest.fixture(scope="module")
def matcher(finished: Path) -> Matcher:
    return load(finished)


def pairs_of(folder: Path, *more: str) -> tuple[Any, Pairs]:
    recipe = task.complete(recipe_of(write_pairs(folder), *more))
    task.prepare(recipe, folder / "data")
    learning = task.build(recipe, folder / "data", torch.device("cpu"))
    pairs = learning.epoch.__self__  # type: ignore[attr-defined]
    return learning, pairs


# ---- what is learnt -------------------------------------------------------------------------------------------------


def test_it_learns_to_match(finished: Path, given: Path) -> None:
    found = finding.evaluate(finished, [given / "dev.tsv"])
    assert found.figures["to_picture"]["recall at 1"] >= 90
    assert found.figures["to_caption"]["recall at 1"] >= 90
    assert "among 12 pictures" in found.text
    assert (finished / "report.html").exists()
    assert "two streams" in (finished / "model" / "README.md").read_text("utf-8")
    page = (finished / "report.html").read_text("utf-8")
    assert report(finished, score=True)
    assert report(finished)
    assert (finished / "report.html").read_text("utf-8") == page


def test_what_is_found_last_is_shown(matcher: Matcher, given: Path) -> None:
    """Each caption is given to the next picture: its own one comes first, and the one that is said to be right late."""
    pairs = read_captioned(given / "dev.tsv")
    shifted = [
        one._replace(picture=other.picture, group=other.group) for one, other in zip(pairs, pairs[1:] + pairs[:1])
    ]
    found, worst = found_in(matcher, "shifted", shifted)
    assert found.to_picture["recall at 1"] < 50
    assert worst == sorted(worst, key=lambda one: -one.rank)
    assert all(one.rank > 1 and one.right != one.found for one in worst)
    (section,) = sections(misses([worst, []]))
    assert section.parts[0].count("<img") == 2 * len(worst)
    assert misses([worst, worst])[:2] == [worst[0], worst[0]]
    assert sections([]) == []


def test_both_ways(matcher: Matcher, given: Path) -> None:
    names = [f"{given}/a.npz#{number}" for number in range(0, 144, 12)]
    pictures = matcher.pictures(names)
    captions = matcher.captions(["a green square left", "a blue square low"])
    assert [found[0].number for found in matcher.match(captions, pictures, best=2)] == [3, 8]
    back = matcher.match(pictures, captions, best=1)
    assert (back[3][0].name, back[8][0].name) == ("a green square left", "a blue square low")


def test_one_of_many_is_scored_as_alone(matcher: Matcher, given: Path) -> None:
    """Encoded once and expanded, or each pair by itself."""
    pictures = matcher.pictures([f"{given}/a.npz#{number}" for number in range(0, 144, 12)]).encoded
    captions = matcher.captions(["a red square left", "a white square low of all"]).encoded
    with torch.no_grad():
        scores, seen = ranked(matcher.model, captions, pictures, 12)
        assert seen.all()
        for row, column in ((0, 0), (1, 5)):
            numbers = np.array([row]), np.array([column])
            (words, text), (patches, picture) = captions.rows(numbers[0]), pictures.rows(numbers[1])
            states = matcher.model.run(
                {"text": words, "picture": patches}, {"text": text, "picture": picture}, first=matcher.model.plan.apart
            )
            logits = matcher.model.logits("alignment", states, {"text": text, "picture": picture})[0]
            alike = float(captions.vectors[row] @ pictures.vectors[column])  # type: ignore[index]
            assert scores[row, column] == pytest.approx(float(logits[0] - logits[1]) + 20 * alike, abs=1e-3)


def test_both_look_at_each_other(matcher: Matcher, given: Path) -> None:
    seen = matcher.attention("a red square left", f"{given}/a.npz#0")
    tokens = len(matcher.tokenizer.encode("a red square left")) + 2
    assert seen["text.1.picture.weights"].shape == (2, tokens, 5)
    assert seen["picture.1.text.weights"].shape == (2, 5, tokens)
    assert len(seen) == 4
    for weights in seen.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:2]))


def test_0_is_aligned(given: Path) -> None:
    """As in ViLBERT's files: class 0 belongs together, 1 does not."""
    _, pairs = pairs_of(given)
    batch = pairs.batch(np.arange(0, 40), 0)
    assert batch.labels["alignment"].ids[:40].tolist() == [0] * 40
    assert batch.labels["alignment"].ids[40:].tolist().count(1) > 20


def test_a_negative_of_the_same_group_is_none(given: Path) -> None:
    _, pairs = pairs_of(given, "matching.negatives=3")
    examples = np.arange(12)  # all of one group
    batch = pairs.batch(examples, 0)
    captions, lengths = pairs.part.captions(np.arange(144))
    texts = np.split(captions, np.cumsum(lengths)[:-1])
    ids = batch.inputs["text"].ids.numpy()
    rows = np.split(ids, np.cumsum(batch.inputs["text"].layout.lengths)[:-1])[:48]
    own = texts[0].tolist()
    for row, label in zip(rows[12:], batch.labels["alignment"].ids[12:].tolist(), strict=True):
        assert label == 1 or row.tolist() == own


# ---- nothing is a NaN -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("share", ["0", "1e-9"])
def test_where_no_region_is_hidden_the_loss_is_zero(given: Path, share: str) -> None:
    """Not 0 / 0, as in the official code (its second defect). Of a caption one word is always hidden, if any may be."""
    learning, pairs = pairs_of(given, f"masking.share={share}", f"masking.regions={share}")
    batch = pairs.batch(np.arange(10), 0)
    sums = learning.model(batch.inputs, batch.labels)
    assert all(math.isfinite(float(one.loss.detach())) for one in sums.values())
    assert (
        sums["masked_region"].loss.detach() == 0.0 if share != "0" else not {"masked_region", "masked_token"} & {*sums}
    )
    torch.stack([one.loss for one in sums.values()]).sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in learning.model.parameters() if p.grad is not None)


def test_a_batch_of_one_pair(given: Path) -> None:
    learning, pairs = pairs_of(given)
    batch = pairs.batch(np.arange(1), 0)
    assert all(math.isfinite(float(one.loss.detach())) for one in learning.model(batch.inputs, batch.labels).values())


def test_the_whole_pictures_row_does_not_show_what_is_hidden(given: Path) -> None:
    """The official code's mean counts what is hidden (its fifth defect)."""
    _, pairs = pairs_of(given, "masking.regions=0.5")
    batch = pairs.batch(np.arange(30), 0)
    seen = batch.inputs["picture"]
    assert isinstance(seen, PatchInput)
    hidden = seen.pixels.view(-1, 5, 48)[60:]
    gone = (hidden[:, 1:] == 0).all(-1)
    assert gone.any()
    left = (~gone).sum(1, keepdim=True).clamp(min=1)
    torch.testing.assert_close(hidden[:, 0], (hidden[:, 1:] * ~gone[..., None]).sum(1) / left)
    whole = seen.pixels.view(-1, 5, 48)[:30]
    torch.testing.assert_close(whole[:, 0], whole[:, 1:].mean(1))
    wanted = batch.labels["masked_region"]
    assert wanted.rows is not None
    first = int(wanted.rows[0]) - 60 * 5
    torch.testing.assert_close(wanted.ids[0], whole.reshape(-1, 48)[first])


def test_all_regions_hidden() -> None:
    rows = torch.randn(3, 4)
    assert without(rows, np.array([3]), torch.tensor([False, True, True])).abs().sum() == 0
    one = with_whole(np.ones((1, 4), np.float32), np.zeros((1, 4), np.float32), np.zeros((1, 0), np.float32))
    assert one.features.shape == (2, 4)


def test_norms_and_biases_do_not_decay(given: Path) -> None:
    """The official list forgets the norms of co-attention (its fourth defect): ours goes by shape."""
    learning, _ = pairs_of(given)
    for name, parameter in learning.model.named_parameters():
        assert (parameter.dim() > 1) == (name.endswith("weight") and "norm" not in name), name


def test_every_parameter_learns(given: Path) -> None:
    """Nothing lies dead in a co-attention (the official code's first defect)."""
    learning, pairs = pairs_of(given, "masking.share=0.5", "masking.regions=0.5")
    batch = pairs.batch(np.arange(60), 0)
    torch.stack([one.loss for one in learning.model(batch.inputs, batch.labels).values()]).sum().backward()
    dead = [name for name, p in learning.model.named_parameters() if p.grad is None or not p.grad.abs().sum()]
    assert dead == []


# ---- the same again -------------------------------------------------------------------------------------------------


def test_a_resumed_run_has_the_same_bits(given: Path, tmp_path: Path) -> None:
    recipe = recipe_of(write_pairs(given), "training.steps=14", "pictures.shift=1", "pictures.mirror=true")
    same_bits_after_a_stop(lambda out: train(recipe, out), tmp_path, Pairs, "batch", 8)


def test_going_on_from_a_finished_model(finished: Path, given: Path, tmp_path: Path) -> None:
    kept = [one for one in write_pairs(given) if not one.startswith(("model.", "tokenizer."))]
    recipe = recipe_of(kept, f"training.start={finished}", "training.steps=2", "matching.contrast=0")
    assert train(recipe, tmp_path / "run") == 0
    made = load(tmp_path / "run")
    assert "likeness" not in made.model.heads
    found = made.match(made.captions(["a red square left"]), made.pictures([f"{given}/a.npz#0"]))
    assert found[0][0].looked


# ---- the command, and what is refused -------------------------------------------------------------------------------


def run_command(*args: str) -> None:
    app(list(args), standalone_mode=False, prog_name="heedful")


def test_the_command(finished: Path, given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = str(given / "a.npz")
    run_command("match", "-m", str(finished), "--pictures", pictures, "--best", "2", "--json", "a red square left")
    told = json.loads(capsys.readouterr().out)
    assert told["query"] == "a red square left"
    assert len(told["found"]) == 2
    assert int(told["found"][0]["name"].rpartition("#")[2]) < 12
    (tmp_path / "texts").write_text("a red square left\n\na blue square low\n", "utf-8")
    run_command("match", "-m", str(finished), "--texts", str(tmp_path / "texts"), f"{given}/a.npz#0")
    assert capsys.readouterr().out.split("\n")[0].endswith("\ta red square left")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["matching.contrast=0", "matching.alignment=0"], "nothing says what matches"),
        (["pictures.edge=3"], "cannot be cut"),
        (["model.picture_width=24"], "streams of one width, not of 32 and 24"),
        (["matching.negatives=0"], "matching.negatives = 0 is outside"),
        (["pictures.features=none.npz"], "none.npz: no such file"),
    ],
)
def test_recipes_that_do_not_fit(given: Path, tmp_path: Path, more: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        train(recipe_of(write_pairs(given), "training.steps=1", *more), tmp_path / "run")
    assert not (tmp_path / "run" / "run.json").exists()


def test_pictures_that_are_not_there(given: Path, finished: Path, matcher: Matcher, tmp_path: Path) -> None:
    (tmp_path / "a.tsv").write_text("picture\tcaption\na.png\tx\nb.png\ty\n", "utf-8")
    recipe = recipe_of([f'data.train=["{tmp_path}/a.tsv"]', "training.steps=1", f'data.dev=["{given}/dev.tsv"]'])
    with pytest.raises(UserError, match=r"a\.tsv:2: a\.png: no such picture"):
        train(recipe, tmp_path / "run")
    with pytest.raises(UserError, match=r"none\.png: no such picture"):
        matcher.pictures(["none.png"])
    with pytest.raises(UserError, match="text 2 is empty"):
        matcher.captions(["x", " "])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="no pictures are in it"):
        pictures_in(tmp_path / "empty")
    assert len(look_at(matcher.sight, [])) == 0


# ---- the user's own features ----------------------------------------------------------------------------------------


def test_features_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Trained on, found again where the model is used, and refused where another encoder made them."""
    kept = [one for one in write_pairs(tmp_path) if not one.startswith(("data.", "pictures."))]
    rng, arrays, lines = np.random.default_rng(0), {}, ["name\ttext"]
    kinds = [f"{color} {place}" for color in ("red", "green", "blue") for place in ("left", "right")]
    for number in range(60):
        kind = number % len(kinds)
        features = rng.standard_normal((3, 8)).astype(np.float32) * 0.1
        features[:, kind] += 2
        classes = np.full((3, 4), 0.25, np.float32)
        arrays |= {f"{number}.png/features": features, f"{number}.png/classes": classes}
        arrays[f"{number}.png/boxes"] = np.array([[0, 0, 0.5, 0.5], [0.5, 0, 1, 0.5], [0, 0.5, 1, 1]], np.float32)
        lines.append(f"{number}.png\t{kinds[kind]}")
    for name in ("mine", "theirs"):
        np.savez(tmp_path / f"{name}.npz", encoder=np.array(name), **arrays)
    (tmp_path / "a.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    more = [
        f'data.train=["{tmp_path}/a.tsv"]', f"pictures.features={tmp_path}/mine.npz", 'data.fields=["name", "text"]',
        "training.steps=25", "training.validate_every=25", "training.metric=loss", "data.dev_share=0.2",
    ]  # fmt: skip
    assert train(recipe_of(kept, *more), tmp_path / "run") == 0
    found = finding.evaluate(tmp_path / "run", [tmp_path / "a.tsv"])
    assert found.figures["to_picture"]["recall at 10"] > 30
    given = finding.evaluate(tmp_path / "run", [tmp_path / "a.tsv"], features=tmp_path / "mine.npz")
    assert given.figures == found.figures
    (tmp_path / "names").write_text("3.png\n2.png\n", "utf-8")
    run_command("match", "-m", str(tmp_path / "run"), "--pictures", str(tmp_path / "names"), "red left")
    assert len(capsys.readouterr().out.split("\n")) == 3
    with pytest.raises(UserError, match="made by the encoder 'theirs'; the model reads those of 'mine'"):
        load(tmp_path / "run").pictures(["3.png"], tmp_path / "theirs.npz")
