"""Which query is meant: one table of cases for the page (tests/browser) and for Python, on two made-up images.

They differ in size, and the second is padded below; parts and layers have unequal counts of everything.
"""

import torch
from PIL import Image

from defdetr_ref.explain.explorer.exploration import Exploration
from defdetr_ref.explain.explorer.outputs import Objects
from defdetr_ref.explain.recording import AttentionRecord

POINTS, DECODER_LAYERS = 2, 3
ENCODER = {"heads": 4, "levels": 3}
DECODER = {"heads": 2, "levels": 2}


def record_of(part: str, layer: int, shapes, references, heads: int, levels: int, extent) -> AttentionRecord:
    padded = (references * extent)[None, :, None].expand(-1, -1, levels, -1)
    return AttentionRecord(
        name=f"{part}.layers.{layer}",
        part=part,
        layer=layer,
        reference_points=padded,
        sampling_locations=padded[:, :, None, :, None].expand(-1, -1, heads, -1, POINTS, -1),
        attention_weights=torch.full((1, len(references), heads, levels, POINTS), 1 / levels / POINTS),
        spatial_shapes=tuple(shapes),
    )


def exploration(height: int, encoder_shapes, references, scores, rows_of_image: float) -> Exploration:
    """references: of the object queries, for each decoder layer."""
    extent = torch.tensor([1.0, rows_of_image])
    stacks = {"encoder": [], "decoder": []}
    for layer, shapes in enumerate(encoder_shapes):
        places = torch.full((sum(rows * columns for rows, columns in shapes), 2), 0.5)
        stacks["encoder"].append(record_of("encoder", layer, shapes, places, **ENCODER, extent=extent))
    for layer, places in enumerate(references):
        shapes = encoder_shapes[0][: DECODER["levels"]]
        stacks["decoder"].append(record_of("decoder", layer, shapes, torch.tensor(places), **DECODER, extent=extent))
    boxes = torch.full((1 + DECODER_LAYERS, len(scores), 4), 0.1)
    boxes[:-1, :, :2] = torch.tensor(references)
    objects = Objects(boxes, torch.tensor(scores), torch.zeros(len(scores), dtype=torch.long))
    return Exploration(Image.new("RGB", (160, height), "grey"), stacks, extent, objects, proposals=None)


def explorations() -> list[Exploration]:
    def first(third: tuple[float, float]) -> list[tuple[float, float]]:
        return [(0.075, 0.125), (0.1, 0.13), third, (0.9, 0.2), (0.3, 0.8)]

    second = [(0.9, 0.9), (0.74, 0.42), (0.1, 0.2), (0.51, 0.5), (0.76, 0.39)]
    return [
        exploration(
            96,
            [[(12, 20), (6, 10), (3, 5)], [(6, 10), (3, 5), (2, 3)]],
            [first((0.5, 0.5)), first((0.62, 0.52)), first((0.75, 0.4))],
            [0.3, 0.6, 0.9, 0.2, 0.5],
            1.0,
        ),
        exploration(
            64,
            [[(8, 20), (4, 10), (2, 5)], [(4, 10), (2, 5), (1, 3)]],
            [second] * DECODER_LAYERS,
            [0.9, 0.75, 0.5, 0.8, 0.7],
            0.8,
        ),
    ]


NAMES = ("image_index", "part", "layer", "query", "heads", "levels")


def encoder(query: int, layer: int = 0, heads=(0, 1, 2, 3), levels=(0, 1, 2), image: int = 0) -> dict:
    return dict(zip(NAMES, (image, "encoder", layer, query, list(heads), list(levels)), strict=True))


def decoder(query: int, layer: int = 0, heads=(0, 1), levels=(0, 1), image: int = 0) -> dict:
    return dict(zip(NAMES, (image, "decoder", layer, query, list(heads), list(levels)), strict=True))


TO_ENCODER, TO_DECODER = {"part": "encoder"}, {"part": "decoder"}

# what it is about: (view before, what is asked for, view after)
CHANGES = {
    "the last layer there is, and the pixel at the object's place in its own layer": (
        decoder(2, layer=2), TO_ENCODER, encoder(2 * 10 + 7, layer=1)),
    "another layer's place; some heads and levels stay some": (
        decoder(2, heads=[1], levels=[0]), TO_ENCODER, encoder(6 * 20 + 10, heads=[1], levels=[0])),
    "the nearest object, if none is within reach; a level that is not there goes": (
        encoder(0, levels=[0, 2]), TO_DECODER, decoder(0, levels=[0])),
    "the best object within reach, though another is nearer": (encoder(1 * 20 + 1), TO_DECODER, decoder(1)),
    "no head is left": (encoder(6 * 20 + 10, heads=[2, 3]), TO_DECODER, decoder(2, heads=[])),
    "another layer of the same queries": (decoder(3, layer=2), {"layer": 0}, decoder(3)),
    "a layer of other pixels": (encoder(6 * 20 + 10, heads=[1]), {"layer": 1}, encoder(3 * 10 + 5, 1, heads=[1])),
    "from a coarse level to the finest of another layer": (
        encoder(240 + 2 * 10 + 9), {"layer": 1}, encoder(2 * 10 + 9, layer=1)),
    "a smaller image with padding": (encoder(314), {"image_index": 1}, encoder(5 * 20 + 18, image=1)),
    "a larger image": (encoder(5 * 20 + 18, image=1), {"image_index": 0}, encoder(10 * 20 + 18)),
    "a pixel of the padding is at the border": (encoder(7 * 20, image=1), {"image_index": 0}, encoder(11 * 20)),
    "an object of another image, the best within reach": (
        decoder(2, layer=2), {"image_index": 1}, decoder(1, layer=2, image=1)),
    "some heads and levels in another image": (
        decoder(4, heads=[0], levels=[1]), {"image_index": 1}, decoder(3, heads=[0], levels=[1], image=1)),
}  # fmt: skip

# what it is about: (view before, place of the click, level of the picture or None for the large one, query)
CLICKS = {
    "a pixel in the corner": (encoder(0), (0.99, 0.01), None, 19),
    "a pixel of a coarser level": (encoder(0), (0.95, 0.4), 1, 240 + 2 * 10 + 9),
    "a pixel of an image with padding": (encoder(0, image=1), (0.51, 0.98), None, 6 * 20 + 10),
    "the last pixel of the coarsest level": (encoder(0, image=1), (0.98, 0.98), 2, 160 + 40 + 9),
    "the best object within reach": (decoder(3), (0.075, 0.125), None, 1),
    "the nearest object": (decoder(3), (0.6, 0.62), None, 2),
}
