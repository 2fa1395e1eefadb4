"""Writing a drawn set to disk in COCO's layout: train/*.png, val/*.png, train.json, val.json.

A set is a function of its description (settings, seed, counts): drawn again it has the same bytes. It is built in a
folder beside the wanted one and moved there in one step, so a set that was interrupted does not exist at all.
"""

import json
import shutil
import uuid
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from tqdm import tqdm

from defdetr_ref.data.canvas import DrawnImage

SPLITS = ("train", "val")
PNG_SETTINGS = {"compress_level": 1, "compress_type": zlib.Z_HUFFMAN_ONLY}  # noise holds no repeats to search for

Draw = Callable[[str, np.random.Generator], DrawnImage]


def image_generator(seed: int, split: str, index: int) -> np.random.Generator:
    """Each image has its own stream, so it does not depend on how many others are drawn."""
    return np.random.default_rng([seed, SPLITS.index(split), index])


def set_paths(folder: str | Path) -> dict[str, Path]:
    """Where the parts of a set lie: folder, train_images, train_annotations, val_images, val_annotations."""
    folder = Path(folder)
    paths = {"folder": folder}
    for split in SPLITS:
        paths[f"{split}_images"] = folder / split
        paths[f"{split}_annotations"] = folder / f"{split}.json"
    return paths


def write_set(
    folder: str | Path,
    draw: Draw,
    info: dict[str, Any],
    categories: list[dict[str, Any]],
    *,
    counts: dict[str, int],
    seed: int,
    progress: bool = True,
) -> dict[str, Path]:
    """Draw and write both splits, or reuse `folder` if exactly this set is there already; returns `set_paths`.

    folder: a new one, an empty one, or one with this very set.
    draw: (split, generator) -> DrawnImage.
    info: what the set is; `seed` and `counts` are added. Equal info means an equal set.
    categories: as COCO's json lists them, ids from 1.
    counts: how many images of each split, {"train": …, "val": …}.
    seed: 0 or more; each image draws from it, its split and its number.
    progress: show a bar.

    Raises ValueError for a bad count or seed, and if the folder holds anything else.
    """
    for name, value in {**counts, "seed": seed}.items():
        if value < (0 if name == "seed" else 1):
            raise ValueError(f"{name} is {value}, but must be {'0 or more' if name == 'seed' else '1 or more'}")
    folder = Path(folder)
    info = json.loads(json.dumps({**info, "seed": seed, "counts": counts}))  # as it reads back: lists for tuples
    if not _is_free(folder, info):
        return set_paths(folder)

    partial = folder.absolute().with_name(f".{folder.absolute().name}.{uuid.uuid4().hex}.partial")  # one per writer
    try:
        for split in SPLITS:
            _write_split(partial, split, draw, info, categories, progress)
        _move_into_place(partial, folder, info)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return set_paths(folder)


def _is_free(folder: Path, info: dict[str, Any]) -> bool:
    """True if nothing is at `folder`, False if exactly the described set is; anything else raises ValueError."""
    if not folder.exists():
        return True
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file; name a folder for the drawn set")
    if not any(folder.iterdir()):
        return True
    found = [_read_info(folder / f"{split}.json") for split in SPLITS]
    if any(one is None for one in found):
        raise ValueError(f"{folder} is not empty and holds no complete drawn set; name a new folder or empty this one")
    for one in found:
        differing = [key for key in sorted({*info, *one}) if one.get(key) != info.get(key)]
        if differing:
            raise ValueError(
                f"{folder} holds a different set (it differs in {', '.join(differing)}); "
                "name another folder or delete this one"
            )
    for split in SPLITS:
        present = sum(1 for _ in (folder / split).glob("*.png"))
        if present != info["counts"][split]:
            raise ValueError(
                f"{folder / split} holds {present} images instead of {info['counts'][split]}; "
                f"delete {folder} to draw it again"
            )
    return False


def _read_info(path: Path) -> dict[str, Any] | None:
    """The info of a json file, None if there is none to read."""
    try:
        info = json.loads(path.read_text(encoding="utf-8"))["info"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return info if isinstance(info, dict) else None


def _write_split(
    folder: Path, split: str, draw: Draw, info: dict[str, Any], categories: list[dict[str, Any]], progress: bool
) -> None:
    """The images of a split, then its json."""
    (folder / split).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for index in tqdm(range(info["counts"][split]), desc=f"drawing {split}", disable=not progress):
        drawn = draw(split, image_generator(info["seed"], split, index))
        height, width = drawn.pixels.shape[:2]
        image_id = index + 1
        file_name = f"{image_id:06d}.png"
        Image.fromarray(drawn.pixels).save(folder / split / file_name, **PNG_SETTINGS)
        images.append({"id": image_id, "file_name": file_name, "height": height, "width": width})
        for annotation in drawn.annotations:
            annotations.append({"id": len(annotations) + 1, "image_id": image_id, **annotation})
    content = {
        "info": info,
        "licenses": [],
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    (folder / f"{split}.json").write_text(json.dumps(content, sort_keys=True), encoding="utf-8", newline="\n")


def _move_into_place(partial: Path, folder: Path, info: dict[str, Any]) -> None:
    """One rename. If another process has put the same set there meanwhile, its copy is used."""
    if folder.exists() and _is_free(folder, info):
        folder.rmdir()  # an empty folder, which not every system lets a rename replace
    try:
        partial.rename(folder)
    except OSError:
        if not folder.exists() or _is_free(folder, info):
            raise
