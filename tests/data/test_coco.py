"""Reading a COCO set: what comes out, and what is said about bad input."""

import json
import os
import re

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image
from torch.utils.data import DataLoader

from defdetr_ref.data import coco
from defdetr_ref.data.coco import CocoDetection, collate
from defdetr_ref.data.transforms import PlainTransform


def one_sentence(error):
    """The message is one line, and says more than a name."""
    message = str(error.value)
    return "\n" not in message and len(message) > 30


def chance(image, target, rng):
    """A transform whose result is the random number it was given."""
    return torch.full((3, 1, 1), rng.random()), target


def test_a_sample_holds_the_normalised_image_and_its_target(hand_made):
    dataset = hand_made.open()
    image, target = dataset[0]
    assert image.shape == (3, 40, 60) and image.dtype == torch.float32
    left_top_width_height = torch.tensor([[5.0, 6, 20, 10], [30, 20, 12, 18]])
    centre = left_top_width_height[:, :2] + left_top_width_height[:, 2:] / 2
    expected = torch.cat([centre, left_top_width_height[:, 2:]], dim=1) / torch.tensor([60, 40, 60, 40])
    torch.testing.assert_close(target["boxes"], expected)
    assert target["labels"].tolist() == [3, 7] and target["labels"].dtype == torch.int64
    assert target["image_id"] == 10 and target["size"] == (40, 60)
    assert len(dataset) == 3 and dataset.image_ids == [10, 20, 30] and dataset.categories == {3: "cup", 7: "plate"}


def test_images_without_objects_stay(hand_made):
    _, target = hand_made.open()[2]
    assert target["boxes"].shape == (0, 4) and target["labels"].shape == (0,) and target["labels"].dtype == torch.int64


def test_indices_reach_from_the_back_and_no_further(hand_made):
    dataset = hand_made.open()
    assert dataset[-1][1]["image_id"] == 30
    for index in (3, -4):
        with pytest.raises(IndexError, match="the set has 3"):
            dataset[index]


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "CMYK"])
def test_every_colour_mode_becomes_rgb(hand_made, mode):
    name = "10.tif" if mode == "CMYK" else "10.png"
    Image.new(mode, (60, 40)).save(hand_made.images / name)
    hand_made.content["images"][0]["file_name"] = name
    assert hand_made.open()[0][0].shape == (3, 40, 60)


def test_boxes_are_clipped_to_the_image(hand_made):
    hand_made.annotate(bbox=[-10, 35, 20, 30])
    target = hand_made.open()[0][1]
    torch.testing.assert_close(target["boxes"][2], torch.tensor([5 / 60, 37.5 / 40, 10 / 60, 5 / 40]))


def test_boxes_without_area_are_dropped_and_counted(hand_made):
    for bbox in ([5, 5, 0, 9], [5, 5, 9, -2], [60, 5, 9, 9], [5, -20, 9, 20]):
        hand_made.annotate(bbox=bbox)
    dataset = hand_made.open()
    assert dataset[0][1]["labels"].tolist() == [3, 7] and dataset[0][1]["boxes"].shape == (2, 4)
    assert dataset.dropped == {"not finite": 0, "crowd": 0, "degenerate": 4}


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_boxes_that_are_not_finite_are_dropped_and_counted(hand_made, bad):
    hand_made.annotate(bbox=[5, bad, 9, 9])
    dataset = hand_made.open()
    assert len(dataset[0][1]["labels"]) == 2 and dataset.dropped["not finite"] == 1
    assert len(dataset.coco["annotations"]) == 3  # evaluation cannot use it either


def test_crowds_are_left_to_evaluation(hand_made):
    hand_made.annotate(iscrowd=1)
    dataset = hand_made.open()
    assert len(dataset[0][1]["labels"]) == 2
    assert dataset.dropped == {"not finite": 0, "crowd": 1, "degenerate": 0}
    assert len(dataset.coco["annotations"]) == 4


def test_what_is_dropped_is_told_once_with_counts_by_reason(hand_made, caplog):
    for changes in ({"bbox": [5, 5, 0, 9]}, {"bbox": [99, 5, 9, 9]}, {"bbox": [5, float("nan"), 9, 9]}, {"iscrowd": 1}):
        hand_made.annotate(**changes)
    dataset = hand_made.open()
    dataset[0], dataset[0]
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage() == (
        f"{hand_made.annotations}: left out of the targets are 1 not finite, 1 of crowds (iscrowd is 1), "
        "2 without width or height inside their image; 3 remain"
    )


def test_crowds_are_worth_a_warning_only_if_they_are_most(hand_made, caplog):
    caplog.set_level("INFO", logger="defdetr_ref")
    levels = []
    for _ in range(3):
        hand_made.annotate(iscrowd=1)
        hand_made.open()
        levels.append(caplog.records[-1].levelname)
    assert levels == ["INFO", "INFO", "WARNING"]  # three other boxes


def test_nothing_is_said_about_a_good_set(hand_made, caplog):
    caplog.set_level("INFO", logger="defdetr_ref")
    hand_made.open()[0]
    assert not caplog.records


@pytest.mark.parametrize("changes", [{"iscrowd": 1}, {"bbox": [5, 5, 0, 0]}, None])
def test_a_set_without_a_usable_box_is_refused(hand_made, changes):
    reason = {"iscrowd": "3 of crowds", "bbox": "3 without width or height"}
    for annotation in hand_made.content["annotations"]:
        annotation.update(changes or {})
    if changes is None:
        hand_made.content["annotations"] = []
    with pytest.raises(ValueError, match="has no box that can be learnt") as error:
        hand_made.open()
    assert reason.get(*(changes or ["no"]), "no annotations at all") in str(error.value) and one_sentence(error)


def in_corners(left, top, width, height):
    return [left, top, left + width, top + height]


def in_fractions(left, top, width, height):
    return [left / 60, top / 40, width / 60, height / 40]


@pytest.mark.parametrize(
    "convert, count, words",
    [(in_corners, 6, "left, top, right, bottom"), (in_fractions, 11, "fractions of the image")],
)
def test_boxes_of_another_format_are_refused(hand_made, convert, count, words):
    """Most lie beyond their image, or are smaller than a pixel; half of them may, and so may few."""
    places = [(9 + 4 * i, 8 + 2 * i, 11, 9) for i in range(11)]  # in an image of 60 × 40
    del hand_made.content["annotations"][:]
    for place in places[5:]:  # as corners, all of these lie beyond
        hand_made.annotate(bbox=convert(*place))
    hand_made.open()  # few
    for place in places[:5]:
        hand_made.annotate(bbox=convert(*place))
    with pytest.raises(ValueError, match=words) as error:
        hand_made.open()
    assert one_sentence(error) and f"annotations.json: {count} of 11 boxes are " in str(error.value)
    for place in places[: 2 * count - 11]:
        hand_made.annotate(bbox=place)
    hand_made.open()  # half


def test_size_classes_come_from_the_file(hand_made):
    assert hand_made.open().size_classes is None
    limits = {"small": [0, 9], "medium": [9, 50.5], "large": [50.5, 1e10]}
    hand_made.content["info"] = {"size_classes": limits}
    assert hand_made.open().size_classes == limits


def test_labels_are_raw_ids_and_must_fit(hand_made):
    hand_made.open(num_classes=8)
    with pytest.raises(ValueError, match=r"'plate' has id 7, but num_classes is 7 .* at least 8") as error:
        hand_made.open(num_classes=7)
    assert one_sentence(error)


# ---------------------------------------------------------------------------------------- bad files


def test_missing_annotation_file(hand_made):
    with pytest.raises(FileNotFoundError, match="nowhere.json does not exist") as error:
        CocoDetection(hand_made.images, hand_made.images.parent / "nowhere.json")
    assert one_sentence(error)


@pytest.mark.parametrize("content", [b"{'images': 1}", b"", b"\xff\xfe\x00"])
def test_annotation_file_that_is_no_json(hand_made, content):
    hand_made.annotations.write_bytes(content)
    with pytest.raises(ValueError, match="annotations.json is not a json file") as error:
        CocoDetection(hand_made.images, hand_made.annotations)
    assert one_sentence(error)


@pytest.mark.parametrize("key", ["images", "annotations", "categories"])
def test_annotation_file_without_coco_keys(hand_made, key):
    del hand_made.content[key]
    with pytest.raises(ValueError, match=rf"lacks the list\(s\) {key};") as error:
        hand_made.open()
    assert one_sentence(error)


def test_annotation_file_with_something_else(hand_made):
    hand_made.content = [1, 2]
    with pytest.raises(ValueError, match="images, annotations, categories"):
        hand_made.open()


@pytest.mark.parametrize("kind, key", [("images", "width"), ("annotations", "bbox"), ("categories", "name")])
def test_incomplete_records(hand_made, kind, key):
    del hand_made.content[kind][1][key]
    with pytest.raises(ValueError, match=f"entry 1 of {kind} lacks {key}") as error:
        hand_made.open()
    assert one_sentence(error)


@pytest.mark.parametrize("kind", ["images", "annotations", "categories"])
def test_repeated_ids(hand_made, kind):
    hand_made.content[kind][1]["id"] = first = hand_made.content[kind][0]["id"]
    with pytest.raises(ValueError, match=f"id {first} occurs twice in {kind}") as error:
        hand_made.open()
    assert one_sentence(error)


@pytest.mark.parametrize("bad", ["10", 10.0, None, True])
def test_ids_that_are_no_whole_numbers(hand_made, bad):
    hand_made.content["images"][0]["id"] = bad
    with pytest.raises(ValueError, match=f"has id {bad!r}"):
        hand_made.open()


@pytest.mark.parametrize("height", [0, -4, "40", 40.5])
def test_image_sizes_that_are_none(hand_made, height):
    hand_made.content["images"][0]["height"] = height
    with pytest.raises(ValueError, match=f"image 10 .* height {re.escape(repr(height))}"):
        hand_made.open()


def test_annotations_of_unknown_images_and_categories(hand_made):
    hand_made.annotate(image_id=99)
    with pytest.raises(ValueError, match="annotation 4 belongs to image 99") as error:
        hand_made.open()
    assert one_sentence(error)
    hand_made.content["annotations"][-1].update(image_id=10, category_id=5)
    with pytest.raises(ValueError, match="annotation 4 belongs to category 5") as error:
        hand_made.open()
    assert one_sentence(error)


@pytest.mark.parametrize("bbox", [[1, 2, 3], None, [1, 2, 3, "4"], [1, 2, 3, None]])
def test_boxes_that_are_none(hand_made, bbox):
    hand_made.annotate(bbox=bbox)
    with pytest.raises(ValueError, match="annotation 4 has bbox .*left, top, width, height") as error:
        hand_made.open()
    assert one_sentence(error)


def test_missing_image_folder(hand_made):
    hand_made.annotations.write_text(json.dumps(hand_made.content), encoding="utf-8")
    with pytest.raises(FileNotFoundError, match="images folder .*nowhere does not exist") as error:
        CocoDetection(hand_made.images / "nowhere", hand_made.annotations)
    assert one_sentence(error)


def test_missing_image_is_found_when_the_set_is_opened(hand_made):
    (hand_made.images / "20.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"20.png does not exist \(1 of 3 images are missing\)") as error:
        hand_made.open()
    assert one_sentence(error)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "spoil", [truncate, lambda path: path.write_bytes(b""), lambda path: path.write_text("no image", encoding="utf-8")]
)
def test_unreadable_image_is_named_when_it_is_read(hand_made, spoil):
    spoil(hand_made.images / "20.png")
    dataset = hand_made.open()
    dataset[0], dataset[2]
    with pytest.raises(ValueError, match="20.png cannot be read as an image") as error:
        dataset[1]
    assert one_sentence(error)


def test_image_of_another_size_than_annotated(hand_made):
    Image.new("RGB", (60, 41)).save(hand_made.images / "10.png")
    with pytest.raises(ValueError, match="10.png is 60×41 px, but the annotations say 60×40") as error:
        hand_made.open()[0]
    assert one_sentence(error)


def store_turned(hand_made, orientation):
    """Image 10 as a camera would store it that was held another way; upright it is 60×40."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored = {6: Image.Transpose.ROTATE_90, 3: Image.Transpose.ROTATE_180}[orientation]
    with Image.open(hand_made.images / "10.png") as picture:
        picture.transpose(stored).save(hand_made.images / "10.png", exif=exif)


@pytest.mark.parametrize("orientation", [3, 6])
def test_an_image_is_turned_upright_and_that_is_said_once(hand_made, orientation, caplog):
    before = hand_made.open()[0]
    store_turned(hand_made, orientation)
    dataset = hand_made.open()
    caplog.clear()
    image, target = dataset[0]
    assert torch.equal(image, before[0]) and torch.equal(target["boxes"], before[1]["boxes"])
    dataset[0], dataset[1]
    (said,) = caplog.messages
    assert f"10.png is turned upright, as its EXIF orientation {orientation} asks" in said


def test_workers_say_it_once_among_them(hand_made, tmp_path, monkeypatch):
    store_turned(hand_made, 6)
    dataset = hand_made.open()
    monkeypatch.setattr(coco.logger, "warning", lambda *what: (tmp_path / f"{os.getpid()}").touch())
    for _ in range(2):
        list(DataLoader(dataset, batch_size=1, num_workers=1, collate_fn=collate, multiprocessing_context="fork"))
    assert len(list(tmp_path.glob("*[0-9]"))) == 1


def test_sizes_that_contradict_the_exif_are_refused_by_its_name(hand_made):
    store_turned(hand_made, 6)
    hand_made.content["images"][0].update(width=40, height=60)
    with pytest.raises(ValueError, match="is 60×40 px once it is turned upright, as its EXIF orientation 6") as error:
        hand_made.open()[0]
    assert "annotations say 40×60, its size as stored" in str(error.value) and one_sentence(error)
    hand_made.content["images"][0].update(width=41)
    with pytest.raises(ValueError, match=r"60×40 px \(turned upright, EXIF orientation 6\)"):
        hand_made.open()[0]


@pytest.mark.parametrize("follow_links", [True, False])
@pytest.mark.parametrize(
    "name", ["../10.png", "a/../../10.png", "{folder}/10.png", "{images}/../10.png", "{images}s/10.png", ".."]
)
def test_names_that_lead_out_of_the_folder_are_refused(hand_made, name, follow_links):
    (hand_made.images / "10.png").rename(hand_made.images.parent / "10.png")
    (hand_made.images / "a").mkdir()
    names = {"folder": hand_made.images.parent, "images": hand_made.images}
    hand_made.content["images"][0]["file_name"] = name.format(**names)
    with pytest.raises(ValueError, match="image 10 is called .* leads out of the folder .*images") as error:
        hand_made.open(follow_links=follow_links)
    assert one_sentence(error)


@pytest.mark.parametrize("name", ["a/../10.png", "{images}/10.png", "{images}/a/../10.png"])
def test_names_may_go_up_and_down_inside_the_folder(hand_made, name):
    """Some programs write the whole path of an image."""
    (hand_made.images / "a").mkdir()
    hand_made.content["images"][0]["file_name"] = name.format(images=hand_made.images)
    assert hand_made.open()[0][0].shape == (3, 40, 60)


def test_a_whole_path_through_a_linked_folder(hand_made):
    linked = hand_made.images.parent / "linked"
    linked.symlink_to(hand_made.images.name, target_is_directory=True)
    hand_made.content["images"][0]["file_name"] = str(linked / "10.png")
    with pytest.raises(ValueError, match="leads out of the folder"):  # as text
        hand_made.open()
    hand_made.images.rename(hand_made.images.parent / "elsewhere")
    hand_made.images.symlink_to("elsewhere", target_is_directory=True)
    for folder in (hand_made.images, hand_made.images.parent / "elsewhere"):
        hand_made.content["images"][0]["file_name"] = str(folder / "10.png")
        assert hand_made.open()[0][0].shape == (3, 40, 60)


@pytest.mark.parametrize("linked", ["file", "folder"])
def test_links_are_followed_when_that_is_asked_for(hand_made, linked):
    elsewhere = hand_made.images.parent / "elsewhere"
    elsewhere.mkdir()
    (hand_made.images / "10.png").rename(elsewhere / "10.png")
    if linked == "file":
        (hand_made.images / "10.png").symlink_to(elsewhere / "10.png")
    else:
        (hand_made.images / "a").symlink_to(elsewhere, target_is_directory=True)
        hand_made.content["images"][0]["file_name"] = "a/10.png"
    with pytest.raises(ValueError, match="leads out of the folder .*follow_links=True"):
        hand_made.open()
    assert hand_made.open(follow_links=True)[0][0].shape == (3, 40, 60)


def test_links_inside_the_folder_and_a_linked_folder_are_no_matter(hand_made):
    (hand_made.images / "10.png").rename(hand_made.images / "b.png")
    (hand_made.images / "10.png").symlink_to("b.png")
    hand_made.images.rename(hand_made.images.parent / "elsewhere")
    hand_made.images.symlink_to("elsewhere", target_is_directory=True)
    assert hand_made.open()[0][0].shape == (3, 40, 60)


@pytest.mark.parametrize("name", ["x" * 300 + ".png", "a\0.png", "\ud800.png", "a\0/b.png", ""])
def test_names_that_no_file_can_have(hand_made, name):
    hand_made.content["images"][0]["file_name"] = name
    with pytest.raises(FileNotFoundError, match="does not exist"):
        hand_made.open()


def test_bad_images_can_be_skipped(hand_made):
    (hand_made.images / "10.png").unlink()
    truncate(hand_made.images / "30.png")
    dataset = hand_made.open(skip_bad_images=True)
    assert dataset.image_ids == [20] and dataset[0][1]["image_id"] == 20
    assert [name for name, _ in dataset.skipped] == ["10.png", "30.png"]
    assert "does not exist" in dataset.skipped[0][1] and "cannot be read" in dataset.skipped[1][1]
    assert [image["id"] for image in dataset.coco["images"]] == [20]  # evaluation does not ask for the others
    assert [annotation["id"] for annotation in dataset.coco["annotations"]] == [3]


def test_nothing_left(hand_made):
    for path in hand_made.images.iterdir():
        path.unlink()
    with pytest.raises(ValueError, match="lists no image that can be used") as error:
        hand_made.open(skip_bad_images=True)
    assert one_sentence(error)


# ---------------------------------------------------------------------------------------- chance, memory, batches


def test_chance_depends_on_seed_epoch_and_index_only(hand_made):
    def numbers(seed, epoch, order):
        dataset = hand_made.open(chance, seed=seed)
        dataset.set_epoch(epoch)
        return {index: float(dataset[index][0][0, 0, 0]) for index in order}

    first = numbers(0, 0, [0, 1, 2])
    assert first == numbers(0, 0, [2, 1, 0])
    others = [numbers(1, 0, [0, 1, 2]), numbers(0, 1, [0, 1, 2])]
    assert len({value for one in (first, *others) for value in one.values()}) == 9


def test_running_workers_see_the_epoch(hand_made):
    dataset = hand_made.open(chance)
    loader = DataLoader(dataset, batch_size=1, num_workers=1, persistent_workers=True, collate_fn=collate)
    for epoch in (0, 1):
        dataset.set_epoch(epoch)
        seen = [float(images[0, 0, 0, 0]) for images, _, _ in loader]
        assert seen == [float(dataset[index][0][0, 0, 0]) for index in range(3)]


def test_targets_are_copies(hand_made):
    dataset = hand_made.open(lambda image, target, rng: (torch.zeros(3, 1, 1), target))
    dataset[0][1]["boxes"].zero_()
    assert dataset[0][1]["boxes"].abs().sum() > 0


def test_cached_images_are_not_read_again(hand_made):
    cached, fresh = hand_made.open(cache=True), hand_made.open()
    before = cached[0][0]
    (hand_made.images / "10.png").unlink()
    assert torch.equal(cached[0][0], before)
    with pytest.raises(ValueError, match="10.png"):
        fresh[0]


def test_collate_pads_and_keeps_the_targets(hand_made):
    dataset = hand_made.open()
    images, mask, targets = collate([dataset[0], dataset[1]])  # 40×60 and 50×30
    assert images.shape == (2, 3, 50, 60) and mask.shape == (2, 50, 60) and mask.dtype == torch.bool
    assert not mask[0, :40].any() and mask[0, 40:].all()
    assert not mask[1, :, :30].any() and mask[1, :, 30:].all()
    assert [target["image_id"] for target in targets] == [10, 20]
    assert np.array_equal(images[0, :, :40].numpy(), dataset[0][0].numpy())


def test_the_transform_gets_boxes_in_pixels(hand_made):
    seen = []
    plain = PlainTransform()

    def spy(image, target, rng):
        seen.append((image.size, image.mode, target["boxes"].tolist()))
        return plain(image, target, rng)

    hand_made.open(spy)[1]
    assert seen == [((30, 50), "RGB", [[1, 2, 4, 6]])]
