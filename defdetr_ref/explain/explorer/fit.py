"""Which query is meant: under a click, and after a change of image, part or layer.

These are the rules of the page, web/explorer_actions.js and web/explorer_data.js, on the same numbers. A view that is
changed in Python so becomes what it would have become in the page. One table of cases in the tests is for both.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any

CLICK_REACH = 0.035  # of the image, around an object's reference point
INSIDE = 1 - 1e-6  # the last place that belongs to the image

Place = tuple[float, float]  # x, y in [0, 1] of the image


def fitted(
    metadata: Mapping[str, Any], before: Mapping[str, Any], now: Mapping[str, Any], asked: Collection[str]
) -> dict[str, Any]:
    """The whole view after some of it has changed from `before` to `now`; the view's names are those of `first_view`.

    asked: names of what was asked for. It stays, as far as it is there. What was not asked for follows: of the layer as
    much as there is; the query that it was, among the same queries, else the one at its place; of the heads and levels
    those that there are, and all if all were shown.
    """
    old_image, old = metadata["images"][before["image_index"]], _layer_of(metadata, before)
    image = metadata["images"][now["image_index"]]
    part = now["part"] if now["part"] in image["parts"] else image["parts"][-1]
    stack = [each for each in image["layers"] if each["part"] == part]
    layer = stack[min(now["layer"], len(stack) - 1)]
    the_same = image is old_image and part == old["part"] and layer["queries"] == old["queries"]
    if "query" in asked:
        query = min(now["query"], layer["queries"] - 1)
    else:
        query = before["query"] if the_same else query_under(image, layer, place_of(old, before["query"]))
    kept = {}
    for name in ("heads", "levels"):
        all_were_shown = name not in asked and len(before[name]) == old[name]
        kept[name] = [index for index in range(layer[name]) if all_were_shown or index in now[name]]
    return {**now, "part": part, "layer": layer["layer"], "query": query, **kept}


def place_of(layer: Mapping[str, Any], query: int) -> Place:
    """The centre of a pixel, or the reference of an object, moved to the border of the image if it is outside."""
    x, y = _pixel_place(layer, query) if layer["query_kind"] == "pixels" else layer["references"][query]
    return min(max(x, 0.0), INSIDE), min(max(y, 0.0), INSIDE)


def query_under(image: Mapping[str, Any], layer: Mapping[str, Any], place: Place, level: int | None = None) -> int:
    """The query meant by a click: an object; or a pixel of `level`, of the finest one if none is given."""
    if layer["query_kind"] == "objects":
        return _object_under(image, layer, place)
    shapes = layer["shapes"]
    level = max(range(len(shapes)), key=lambda each: math.prod(shapes[each])) if level is None else level
    before = sum(math.prod(shape) for shape in shapes[:level])
    row, column = (
        min(math.floor(at * extent * count), math.ceil(count * extent) - 1)
        for at, extent, count in zip(reversed(place), reversed(layer["extent"]), shapes[level], strict=True)
    )
    return before + row * shapes[level][1] + column


def _object_under(image: Mapping[str, Any], layer: Mapping[str, Any], place: Place) -> int:
    """The best one whose reference is within reach, else the nearest."""
    gaps = [math.dist(reference, place) for reference in layer["references"]]
    near = [query for query, gap in enumerate(gaps) if gap < CLICK_REACH]
    if near and image["objects"]:
        return max(near, key=lambda query: image["objects"]["scores"][query])
    return min(near or range(len(gaps)), key=lambda query: gaps[query])


def _pixel_place(layer: Mapping[str, Any], query: int) -> Place:
    """Queries are the levels one after another, each row by row."""
    for height, width in layer["shapes"]:
        if query < height * width:
            row, column = divmod(query, width)
            extent_x, extent_y = layer["extent"]
            return (column + 0.5) / width / extent_x, (row + 0.5) / height / extent_y
        query -= height * width
    raise IndexError("the layer has fewer pixels")


def _layer_of(metadata: Mapping[str, Any], view: Mapping[str, Any]) -> Mapping[str, Any]:
    layers = metadata["images"][view["image_index"]]["layers"]
    return next(each for each in layers if (each["part"], each["layer"]) == (view["part"], view["layer"]))
