"""Single rooms of defdetr_ref/live/web, each against its room of the package."""

import hashlib

import numpy as np
import pytest
import torch

from defdetr_ref import positions
from defdetr_ref.attention import MultiScaleDeformableAttention
from defdetr_ref.backbone import SmallResNet
from defdetr_ref.boxes import refine_boxes
from defdetr_ref.layers import DenseAttention
from defdetr_ref.ops import loops
from defdetr_ref.proposals import LearnedQueriesWithBoxes
from defdetr_ref.pyramid import FeaturePyramid
from tests.live.models import disturb

SHAPES = [(5, 7), (3, 4), (1, 2)]
TOKENS = sum(height * width for height, width in SHAPES)


def random(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(found, wanted, atol=2e-6):
    torch.testing.assert_close(found, wanted.detach(), atol=atol, rtol=1e-5)


SAMPLING = """async ({ value, shapes, locations, weights }) => {
    const { msDeformAttn } = await import("/web/sampling.js");
    return pack(msDeformAttn(await unpack(value), shapes, await unpack(locations), await unpack(weights)));
}"""


def test_sampling_is_what_the_loops_say(live_page):
    queries, heads, points, dim = 11, 2, 4, 3
    value = random(TOKENS, heads * dim)
    locations = 0.5 + 0.8 * random(queries, heads, len(SHAPES), points, 2, seed=1)  # some outside
    locations[0, 0, 0] = torch.tensor([[0.0, 0.0], [1.0, 1.0], [1.5 / 7, 2.5 / 5], [-0.5 / 7, 0.3]])  # edges, centres
    locations[1, 1, 2] = torch.tensor([[torch.nan, 0.5], [0.5, torch.inf], [-torch.inf, 0.1], [1e30, -1e30]])
    weights = random(queries, heads, len(SHAPES), points, seed=2)
    arguments = {"value": value, "locations": locations, "weights": weights}
    described = {name: live_page.put_tensor(tensor) for name, tensor in arguments.items()}
    found = live_page.run(SAMPLING, {**described, "shapes": SHAPES})
    tensors = (value.view(1, TOKENS, heads, dim), locations[None], weights[None])
    arrays = [tensor.double().numpy() for tensor in tensors]
    with np.errstate(invalid="ignore"):
        wanted = loops.forward(arrays[0], SHAPES, arrays[1], arrays[2])
    close(found, torch.from_numpy(wanted[0]).float())


ATTENTION = """async ({ parameters, config, shapes, query, references, features, kernel }) => {
    const { MultiScaleDeformableAttention } = await import("/web/attention.js");
    const { Parameters } = await import("/web/weights.js");
    const { chooseMatmul } = await import("/web/matmul.js");
    const named = new Parameters(new Map(Object.entries(await unpackAll(parameters))));
    const module = new MultiScaleDeformableAttention(named, chooseMatmul(await bytesOf(kernel)), config);
    const inputs = [await unpack(query), await unpack(references), await unpack(features), shapes];
    return packAll(module.forward(...inputs));
}"""


@pytest.mark.parametrize("size", [2, 4], ids=["from points", "from boxes"])
def test_attention_is_equation_3(live_page, size):
    config = dict(d_model=24, num_heads=3, num_levels=len(SHAPES), num_points=2)
    torch.manual_seed(0)
    module = MultiScaleDeformableAttention(**config)
    disturb(module)
    inputs = {
        "query": random(13, 24),
        "references": torch.rand(13, len(SHAPES), size, generator=torch.Generator().manual_seed(1)),
        "features": random(TOKENS, 24, seed=2),
    }
    described = {name: live_page.put_tensor(tensor) for name, tensor in inputs.items()}
    given = {"parameters": live_page.put_parameters(module), "config": config, "shapes": SHAPES, "kernel": "kernel"}
    found = live_page.run(ATTENTION, {**given, **described})
    batch = {name: tensor[None] for name, tensor in inputs.items()}
    close(found["output"], module(batch["query"], batch["references"], batch["features"], SHAPES)[0])
    close(found["weights"], module.weights_of(batch["query"])[0])
    assert found["locations"].shape == (13, 3, len(SHAPES), 2, 2)


DENSE = """async ({ parameters, config, query, key, value }) => {
    const { DenseAttention } = await import("/web/layers.js");
    const { Parameters } = await import("/web/weights.js");
    const { chooseMatmul } = await import("/web/matmul.js");
    const named = new Parameters(new Map(Object.entries(await unpackAll(parameters))));
    const attention = new DenseAttention(named, chooseMatmul(null), config);
    return packAll(attention.forward(await unpack(query), await unpack(key), await unpack(value)));
}"""


def test_dense_attention_is_pytorchs(live_page):
    config = dict(d_model=20, num_heads=5)
    torch.manual_seed(0)
    module = DenseAttention(20, 5, 0.0)
    disturb(module)
    query, key, value = random(9, 20), random(14, 20, seed=1), random(14, 20, seed=2)
    inputs = {"query": query, "key": key, "value": value}
    given = {name: live_page.put_tensor(tensor) for name, tensor in inputs.items()}
    found = live_page.run(DENSE, {**given, "config": config, "parameters": live_page.put_parameters(module)})
    output, weights = torch.nn.MultiheadAttention.forward(
        module, query[None], key[None], value[None], average_attn_weights=False
    )
    close(found["output"], output[0])
    close(found["weights"], weights[0])


BACKBONE = """async ({ parameters, config, image, kernel }) => {
    const { SmallResNet } = await import("/web/backbone.js");
    const { FeaturePyramid } = await import("/web/pyramid.js");
    const { Parameters } = await import("/web/weights.js");
    const { chooseMatmul } = await import("/web/matmul.js");
    const named = new Parameters(new Map(Object.entries(await unpackAll(parameters))));
    const matmul = chooseMatmul(await bytesOf(kernel));
    const backbone = new SmallResNet(named.under("backbone"), matmul, config);
    const pyramid = new FeaturePyramid(named.under("pyramid"), matmul, config, backbone.channels);
    const maps = backbone.forward(await unpack(image));
    const chosen = config.feature_strides.map((stride) => maps.get(stride));
    const { spatialShapes, ...tokens } = pyramid.forward(chosen);
    return { maps: chosen.map(pack), tokens: packAll(tokens), shapes: spatialShapes };
}"""


@pytest.mark.parametrize(
    "strides, levels, size",
    [((4, 16), 4, (37, 90)), ((32,), 1, (33, 97)), ((8, 16), 2, (1, 100)), ((4,), 2, (151, 532))],
    ids=["a stride left out", "coarse", "one row", "in strips"],
)
def test_backbone_and_pyramid(live_page, strides, levels, size):
    torch.manual_seed(0)
    module = torch.nn.Module()
    module.backbone = SmallResNet(strides)
    module.pyramid = FeaturePyramid(module.backbone.channels, 32, levels)
    disturb(module)
    image = random(*size, 3)
    config = {"feature_strides": strides, "num_levels": levels, "d_model": 32}
    given = {"parameters": live_page.put_parameters(module), "config": config, "image": live_page.put_tensor(image)}
    found = live_page.run(BACKBONE, {**given, "kernel": "kernel"})
    module.double()  # group norm of a channel that hardly varies enlarges errors, PyTorch's too
    with torch.no_grad():
        maps = module.backbone(image.double().permute(2, 0, 1)[None])
        tokens = module.pyramid(maps, torch.zeros(1, *size, dtype=torch.bool))
    for mine, wanted in zip(found["maps"], maps, strict=True):
        close(mine, wanted[0].permute(1, 2, 0).float(), atol=2e-5)
    assert [tuple(shape) for shape in found["shapes"]] == tokens.spatial_shapes
    for part in ("features", "positions", "centres"):
        close(found["tokens"][part], getattr(tokens, part)[0].float(), atol=4e-5)


BOXES = """async ({ points, boxes, delta, centres, shapes }) => {
    const { refineBoxes } = await import("/web/boxes.js");
    const { embedBoxes, proposalBoxes } = await import("/web/positions.js");
    const change = await unpack(delta);
    const proposals = proposalBoxes(await unpack(centres), shapes);
    return {
        points: pack(refineBoxes(await unpack(points), change)),
        boxes: pack(refineBoxes(await unpack(boxes), change)),
        embedded: pack(embedBoxes(await unpack(boxes), 6)),
        proposals: pack(proposals.boxes),
        usable: proposals.usable,
    };
}"""


def test_boxes_and_proposals(live_page):
    boxes = torch.rand(9, 4, generator=torch.Generator().manual_seed(0))
    boxes[0], boxes[1] = torch.tensor([0.0, 1.0, 1e-7, 1 - 1e-7]), torch.tensor([-0.5, 1.5, 1.0, 0.0])
    delta = 3 * random(9, 4)
    shapes = [(3, 50), (2, 7), (4, 3), (1, 2), (3, 2), (2, 2)]  # 0.5 / 50 is where the window begins; 2^5 · 0.05 > 1
    centres = positions.token_centres(shapes, torch.ones(1, len(shapes), 2))
    given = {"points": boxes[:, :2], "boxes": boxes, "delta": delta, "centres": centres[0]}
    described = {name: live_page.put_tensor(tensor) for name, tensor in given.items()}
    found = live_page.run(BOXES, {**described, "shapes": shapes})
    close(found["points"], refine_boxes(boxes[:, :2], delta))
    close(found["boxes"], refine_boxes(boxes, delta))
    close(found["embedded"], positions.embed_boxes(boxes, 6))
    wanted, usable = positions.proposal_boxes(centres, torch.zeros(centres.shape[:2], dtype=torch.bool), shapes)
    close(found["proposals"], wanted[0])
    assert found["usable"] == usable[0].tolist() and 0 < usable.sum() < usable.numel()


QUERIES = """async ({ parameters, config }) => {
    const { LearnedQueriesWithBoxes } = await import("/web/proposals.js");
    const { Parameters } = await import("/web/weights.js");
    const { chooseMatmul } = await import("/web/matmul.js");
    const named = new Parameters(new Map(Object.entries(await unpackAll(parameters))));
    return packAll(new LearnedQueriesWithBoxes(named, chooseMatmul(null), config).forward());
}"""


def test_learned_queries_with_boxes(live_page):
    torch.manual_seed(0)
    module = LearnedQueriesWithBoxes(7, 32)
    disturb(module)
    config = {"num_queries": 7, "d_model": 32}
    found = live_page.run(QUERIES, {"parameters": live_page.put_parameters(module), "config": config})
    position, content = module.embedding.weight.chunk(2, dim=-1)
    wanted = {"content": content, "position": position, "reference": module.initial_reference(position[None])[0]}
    for part, tensor in wanted.items():
        close(found[part], tensor)


MATMUL = """async ({ cases, kernel }) => {
    const { PlainMatmul, SimdMatmul, chooseMatmul } = await import("/web/matmul.js");
    const bytes = await bytesOf(kernel);
    const both = [new SimdMatmul(bytes), new PlainMatmul()];
    const answers = [];
    for (const described of cases) {
        const { x, weight, bias } = await unpackAll(described);
        const [simd, plain] = both.map((matmul) => pack(matmul.linear(weight, bias)(x)));
        answers.push({ simd, plain });
    }
    return { answers, names: [chooseMatmul(bytes).name, chooseMatmul(null).name] };
}"""


def test_both_matrix_products_fit_every_size(live_page):
    sizes = [(1, 1, 1), (2, 3, 5), (3, 128, 8), (4, 129, 9), (5, 300, 17), (9, 2304, 4), (257, 7, 31)]
    cases = [
        {"x": random(rows, depth), "weight": random(out, depth, seed=1), "bias": random(out, seed=2)}
        for rows, depth, out in sizes
    ]
    described = [{name: live_page.put_tensor(tensor) for name, tensor in case.items()} for case in cases]
    found = live_page.run(MATMUL, {"cases": described, "kernel": "kernel"})
    assert found["names"] == ["simd", "javascript"]
    for case, answer in zip(cases, found["answers"], strict=True):
        wanted = (case["x"].double() @ case["weight"].double().T + case["bias"].double()).float()
        for product in answer.values():  # sums of float32 with a rounding each
            torch.testing.assert_close(product, wanted, atol=3e-7 * case["x"].shape[1] ** 0.5 * 3, rtol=1e-6)


SHA256 = """async (files) => {
    const { sha256 } = await import("/web/sha256.js");
    const whole = await Promise.all(files.map(async (file) => sha256(await bytesOf(file))));
    const last = await bytesOf(files.at(-1));
    return [...whole, sha256(last.subarray(0, 100), last.subarray(100))];
}"""


def test_sha256_is_the_standards(live_page):
    contents = [bytes(i * 7 % 256 for i in range(length)) for length in (0, 1, 55, 56, 63, 64, 65, 1000)]
    found = live_page.run(SHA256, [live_page.put(content) for content in contents])
    wanted = [hashlib.sha256(content).hexdigest() for content in contents]
    assert found == [*wanted, wanted[-1]]


PLACES = """async ({ frame, labels }) => {
    const { labelPlaces } = await import("/web/laboratory/painting.js");
    return labelPlaces(frame, labels);
}"""


def test_no_words_lie_over_those_of_another_box(live_page):
    """Three boxes in one place, one beside them, one at the upper edge."""
    frame = {"left": 0, "top": 0, "width": 300, "height": 200}
    boxes = [[0.5, 0.5, 0.2, 0.4]] * 3 + [[0.9, 0.5, 0.1, 0.4], [0.2, 0.05, 0.2, 0.1]]
    labels = [{"box": box, "width": 70} for box in boxes]
    places = live_page.run(PLACES, {"frame": frame, "labels": labels})
    assert [place["line"] for place in places] == [54, 158, 78, 54, 38]  # above, below, inside, above, below
    assert [place["left"] for place in places] == [120, 120, 120, 226, 30]  # 226: 70 wide, and 4 from the edge
    crowd = live_page.run(PLACES, {"frame": frame, "labels": [{"box": boxes[0], "width": 70}] * 5})
    assert crowd[3]["line"] == 134 and crowd[4]["line"] == crowd[0]["line"]
