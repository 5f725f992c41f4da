"""Patches, boxes, regions, and the gallery of a run: kept, checked, moved by (seed, epoch, example)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file

from heedful.config import Pictures
from heedful.data.gallery import Gallery, Sight, look_at, open_gallery, prepare_gallery, unique
from heedful.data.patches import boxes_of, moved, patches_of, require_fit
from heedful.data.pictures import Reference
from heedful.errors import UserError
from heedful.model.embeddings import PatchInput, RegionInput

SIZE = Pictures(size=(4, 6), edge=2)


def pixels(count: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 4, 6, 3), np.uint8)


def references(tmp_path: Path, count: int = 3) -> list[Reference]:
    np.savez(tmp_path / "a.npz", images=pixels(count))
    return [Reference(f"{tmp_path}/a.npz#{number}", f"pairs.tsv:{number + 1}") for number in range(count)]


def test_patches_are_cut_where_their_boxes_say() -> None:
    given = pixels(2)
    rows, boxes = patches_of(given, 2).reshape(2, 7, 3, 2, 2), boxes_of((4, 6), 2)
    assert boxes[0].tolist() == [0, 0, 1, 1, 1]
    for row in range(1, 7):
        left, top, right, bottom = (boxes[row, :4] * (6, 4, 6, 4)).round().astype(int)
        assert boxes[row, 4] == pytest.approx(4 / 24)
        cut = given[:, top:bottom, left:right].transpose(0, 3, 1, 2)
        np.testing.assert_allclose(rows[:, row], cut / 127.5 - 1, atol=1e-6)
    np.testing.assert_allclose(rows[:, 0], rows[:, 1:].mean(1), atol=1e-6)
    np.testing.assert_allclose(patches_of(given, 2, zero=0.0), patches_of(given, 2) + 1, atol=1e-6)
    with pytest.raises(UserError, match="cannot be cut"):
        require_fit((4, 6), 4)


def test_moving_is_a_function_of_seed_epoch_and_example() -> None:
    given, numbers = pixels(), np.arange(3)
    once = moved(given, numbers, 1, 2, 2, True)
    assert (moved(given[::-1], numbers[::-1], 1, 2, 2, True)[::-1] == once).all()
    others = [moved(given, numbers, seed, epoch, 2, True) for seed, epoch in ((1, 3), (2, 2))]
    assert not any((other == once).all() for other in others)
    assert moved(given, numbers, 1, 2, 0, False) is given
    mirrored = moved(np.repeat(given, 20, 0), np.arange(60), 1, 0, 0, True)
    turned = [(one == same[:, ::-1]).all() for one, same in zip(mirrored, np.repeat(given, 20, 0), strict=True)]
    assert 15 < sum(turned) < 45


def test_a_gallery_is_kept_and_damage_is_seen(tmp_path: Path) -> None:
    given = references(tmp_path)
    made = prepare_gallery(SIZE, tmp_path / "run", given)
    assert (np.asarray(made.array) == pixels()).all()
    assert made.sight.sizes == {"edge": 2, "channels": 3, "regions": 12}
    kept = (tmp_path / "run" / "pictures.npy").stat().st_mtime_ns
    prepare_gallery(SIZE, tmp_path / "run", given)
    assert (tmp_path / "run" / "pictures.npy").stat().st_mtime_ns == kept
    prepare_gallery(SIZE, tmp_path / "run", given[:2])
    assert len(open_gallery(tmp_path / "run")) == 2
    path = tmp_path / "run" / "pictures.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"\0")
    with pytest.raises(UserError, match=r"pictures\.npy: damaged"):
        open_gallery(tmp_path / "run")
    assert len(prepare_gallery(SIZE, tmp_path / "run", given)) == 3


def test_input_of_some_pictures(tmp_path: Path) -> None:
    made = look_at(Sight(size=(4, 6), edge=2), references(tmp_path))
    given = made.input(np.array([2, 0, 2]))
    assert isinstance(given, PatchInput)
    assert given.layout.lengths.tolist() == [7, 7, 7]
    assert torch.equal(given.pixels[:7], given.pixels[14:])
    assert torch.equal(given.pixels[7:14], torch.from_numpy(patches_of(pixels()[:1], 2)))
    change = Pictures(shift=2)
    epochs = [made.input(np.array([2, 0]), epoch=epoch, change=change, seed=4) for epoch in (1, 1, 2)]
    same, again, other = (one.pixels for one in epochs if isinstance(one, PatchInput))
    assert torch.equal(same, again)
    assert not torch.equal(same, other)


def test_each_picture_once(tmp_path: Path) -> None:
    found, numbers = unique([Reference("a", "1"), Reference("b", "2"), Reference("a", "3")])
    assert found == [Reference("a", "1"), Reference("b", "2")]
    assert numbers.tolist() == [0, 1, 0]


# ---- the user's own features ----------------------------------------------------------------------------------------


def features_file(path: Path, encoder: str | None = "mine", **changed: np.ndarray) -> Path:
    rng = np.random.default_rng(1)
    arrays = {}
    for number, name in enumerate(("cat.png", "dog.png")):
        arrays[f"{name}/features"] = rng.standard_normal((2 + number, 5)).astype(np.float32)
        arrays[f"{name}/boxes"] = np.tile(np.array([[0.0, 0.0, 0.5, 0.5]], np.float32), (2 + number, 1))
        arrays[f"{name}/classes"] = np.full((2 + number, 4), 0.25, np.float32)
    arrays |= {name.replace("__", "/").replace("_", ".", 1): value for name, value in changed.items()}
    if path.suffix == ".npz":
        np.savez(path, **arrays, **({} if encoder is None else {"encoder": np.array(encoder)}))
    else:
        save_file(arrays, path, {} if encoder is None else {"encoder": encoder})
    return path


CAT = [Reference("cat.png", "pairs.tsv:1"), Reference("dog.png", "pairs.tsv:2")]


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
def test_own_features(tmp_path: Path, name: str) -> None:
    path = features_file(tmp_path / name)
    made = prepare_gallery(Pictures(features=str(path)), tmp_path / "run", CAT)
    assert made.sight == Sight(encoder="mine", features=5, classes=4)
    assert made.sight.sizes == {"features": 5, "regions": 4}
    given = made.input(np.array([1, 0]))
    assert isinstance(given, RegionInput)
    assert given.layout.lengths.tolist() == [4, 3]
    torch.testing.assert_close(given.features[0], given.features[1:4].mean(0))
    assert given.boxes[0].tolist() == [0, 0, 1, 1, 1]
    assert given.boxes[1].tolist() == [0, 0, 0.5, 0.5, 0.25]
    classes = made.wanted_classes(np.array([1]))
    assert classes is not None
    assert classes.shape == (4, 4)
    assert len(look_at(made.sight, CAT, path)) == 2


def test_features_of_another_encoder_are_refused_by_name(tmp_path: Path) -> None:
    sight = Sight(encoder="mine", features=5, classes=4)
    other = features_file(tmp_path / "a.npz", "theirs")
    with pytest.raises(UserError, match="made by the encoder 'theirs'; the model reads those of 'mine'"):
        look_at(sight, CAT, other)
    with pytest.raises(UserError, match="'mine' made; give their file with --features"):
        look_at(sight, CAT)
    with pytest.raises(UserError, match="5 features and 4 classes where the model reads 6 and 4"):
        look_at(Sight(encoder="mine", features=6, classes=4), CAT, features_file(tmp_path / "b.npz"))


@pytest.mark.parametrize("name", ["a.npz", "a.safetensors"])
@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"cat_png__boxes": np.zeros((3, 4), np.float32)}, "do not fit"),
        ({"cat_png__boxes": np.full((2, 4), 640.0, np.float32)}, "divide them by the picture's width"),
        ({"cat_png__features": np.full((2, 5), np.nan, np.float32)}, "not a finite number"),
        ({"cat_png__classes": np.zeros((1, 4), np.float32)}, "classes"),
        ({"dog_png__features": np.zeros((3, 6), np.float32)}, "another size"),
    ],
)
def test_features_that_do_not_fit(tmp_path: Path, name: str, changed: dict[str, np.ndarray], words: str) -> None:
    path = features_file(tmp_path / name, **changed)
    with pytest.raises(UserError, match=words) as told:
        prepare_gallery(Pictures(features=str(path)), tmp_path / "run", CAT)
    assert str(told.value).startswith("pairs.tsv:")


def test_files_that_hold_no_features(tmp_path: Path) -> None:
    for content, name in ((b"", "a.safetensors"), (b"PK", "a.npz"), (b"x" * 99, "b.safetensors")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="not a file of features"):
            prepare_gallery(Pictures(features=str(tmp_path / name)), tmp_path / "run", CAT)
    with pytest.raises(UserError, match="does not name the encoder"):
        prepare_gallery(Pictures(features=str(features_file(tmp_path / "c.npz", None))), tmp_path / "run", CAT)
    path = features_file(tmp_path / "d.npz")
    with pytest.raises(UserError, match=r"pairs.tsv:9: cow.png: .* has no features"):
        prepare_gallery(Pictures(features=str(path)), tmp_path / "run", [Reference("cow.png", "pairs.tsv:9")])


def test_a_gallery_is_a_gallery(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read"):
        open_gallery(tmp_path)
    assert isinstance(look_at(Sight(size=(4, 6), edge=2), references(tmp_path)), Gallery)
