"""Recording against locations and weights recomputed from the modules' own weights, and the life of the hooks."""

import pytest
import torch
from torch import nn

from defdetr_ref.attention import DeformableAttention, DeformableSampling, MultiScaleDeformableAttention
from defdetr_ref.explain import AttentionRecord, ForwardPass, record, to_pixels, token_at, weight_outside

SHAPES = [(5, 7), (3, 4)]
BATCH, QUERIES, HEADS, LEVELS, POINTS, D_MODEL = 2, 9, 3, 2, 5, 6
TOKENS = sum(height * width for height, width in SHAPES)


class Layer(nn.Module):
    def __init__(self, attention_name: str):
        super().__init__()
        self.attention_name = attention_name
        attention = MultiScaleDeformableAttention(D_MODEL, HEADS, LEVELS, POINTS)
        for parameter in attention.parameters():  # the initial star looks the same way from every query
            nn.init.normal_(parameter, std=0.5)
        setattr(self, attention_name, attention)

    def forward(self, query, reference_points, features):
        return getattr(self, self.attention_name)(query, reference_points, features, spatial_shapes=SHAPES)


class Stack(nn.Module):
    def __init__(self, depth: int, attention_name: str):
        super().__init__()
        self.layers = nn.ModuleList(Layer(attention_name) for _ in range(depth))

    def forward(self, query, reference_points, features):
        for layer in self.layers:
            query = layer(query, reference_points, features)
        return query


class TwoStacks(nn.Module):
    """An encoder of three layers and a decoder of two, built like the detector."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = Stack(3, "attention"), Stack(2, "cross_attention")
        self.fails = False

    def forward(self, features, query, token_references, query_references):
        memory = self.encoder(features, token_references, features)
        if self.fails:
            raise RuntimeError("halfway")
        boxes = self.decoder(query, query_references, memory)[..., :4].sigmoid()
        return {"pred_boxes": boxes, "aux_outputs": [{"pred_boxes": boxes / 2}]}


@pytest.fixture
def model() -> TwoStacks:
    torch.manual_seed(0)
    return TwoStacks()


@pytest.fixture
def inputs() -> tuple:
    generator = torch.Generator().manual_seed(1)
    features = torch.randn(BATCH, TOKENS, D_MODEL, generator=generator)
    query = torch.randn(BATCH, QUERIES, D_MODEL, generator=generator)
    token_references = torch.rand(BATCH, TOKENS, LEVELS, 2, generator=generator)
    query_references = torch.rand(BATCH, QUERIES, LEVELS, 4, generator=generator)
    return features, query, token_references, query_references


def hook_count(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules())


def test_every_layer_is_recorded_in_order(model, inputs):
    with record(model) as recording:
        model(*inputs)
    assert [(r.name, r.part, r.layer) for r in recording[-1].records] == [
        ("encoder.layers.0.attention", "encoder", 0),
        ("encoder.layers.1.attention", "encoder", 1),
        ("encoder.layers.2.attention", "encoder", 2),
        ("decoder.layers.0.cross_attention", "decoder", 0),
        ("decoder.layers.1.cross_attention", "decoder", 1),
    ]
    assert [r.layer for r in recording[-1].encoder] == [0, 1, 2]
    assert [r.layer for r in recording[-1].decoder] == [0, 1]


def test_record_equals_the_equations_by_hand(model, inputs):
    features, query, token_references, query_references = inputs
    with record(model) as recording:
        model(*inputs)

    first = recording[-1].encoder[0]
    attention = model.encoder.layers[0].attention
    offsets = attention.sampling_offsets(features).view(BATCH, TOKENS, HEADS, LEVELS, POINTS, 2)
    for level, (height, width) in enumerate(SHAPES):
        expected = token_references[:, :, None, level, None] + offsets[:, :, :, level] / torch.tensor([width, height])
        torch.testing.assert_close(first.sampling_locations[:, :, :, level], expected.detach())
    logits = attention.attention_weights(features).view(BATCH, TOKENS, HEADS, LEVELS * POINTS)
    expected_weights = logits.softmax(-1).view(BATCH, TOKENS, HEADS, LEVELS, POINTS)
    torch.testing.assert_close(first.attention_weights, expected_weights.detach())
    torch.testing.assert_close(first.reference_points, token_references)
    assert first.spatial_shapes == ((5, 7), (3, 4))

    boxed = recording[-1].decoder[0]
    attention = model.decoder.layers[0].cross_attention
    offsets = attention.sampling_offsets(query).view(BATCH, QUERIES, HEADS, LEVELS, POINTS, 2)
    centre, side = query_references[:, :, None, :, None, :2], query_references[:, :, None, :, None, 2:]
    torch.testing.assert_close(boxed.sampling_locations, (centre + offsets / POINTS * side / 2).detach())
    torch.testing.assert_close(boxed.reference_points, query_references)


def test_weights_of_a_head_sum_to_one(model, inputs):
    with record(model) as recording:
        model(*inputs)
    for one in recording[-1].records:
        sums = one.attention_weights.sum(dim=(-2, -1))
        torch.testing.assert_close(sums, torch.ones_like(sums))


def test_recording_changes_nothing_and_keeps_no_graph(model, inputs):
    plain = model(*inputs)["pred_boxes"]
    with record(model) as recording:
        watched = model(*inputs)["pred_boxes"]
    assert torch.equal(plain, watched) and watched.requires_grad
    for one in recording[-1].records:
        assert not (one.sampling_locations.requires_grad or one.attention_weights.requires_grad)
        assert not one.reference_points.requires_grad
    outputs = recording[-1].outputs
    assert not outputs["pred_boxes"].requires_grad and not outputs["aux_outputs"][0]["pred_boxes"].requires_grad


def test_hooks_are_gone_after_the_block(model, inputs):
    with record(model) as recording:
        assert hook_count(model) > 0
        model(*inputs)
    assert hook_count(model) == 0
    model(*inputs)
    assert len(recording) == 1


def test_hooks_are_gone_after_a_failed_forward(model, inputs):
    model.fails = True
    with pytest.raises(RuntimeError, match="halfway"), record(model) as recording:
        model(*inputs)
    assert hook_count(model) == 0
    assert len(recording[-1].encoder) == 3 and recording[-1].decoder == [] and recording[-1].outputs is None


def test_every_forward_is_a_pass_of_its_own(model, inputs):
    with record(model) as recording:
        model(*inputs)
        moved = (inputs[0] + 1, *inputs[1:])
        model(*moved)
    assert [len(one.records) for one in recording.passes] == [5, 5]
    first, second = recording[0].encoder[0], recording[-1].encoder[0]
    assert not torch.equal(first.sampling_locations, second.sampling_locations)


def test_a_pass_after_a_failed_one_is_separate(model, inputs):
    with record(model) as recording:
        model.fails = True
        with pytest.raises(RuntimeError):
            model(*inputs)
        model.fails = False
        model(*inputs)
    assert [len(one.records) for one in recording.passes] == [3, 5]


def test_a_part_of_the_model_is_recorded_without_outputs(model, inputs):
    with record(model) as recording:
        model(*inputs)
        model.encoder(inputs[0], inputs[2], inputs[0])
    assert len(recording) == 2 and len(recording[-1].encoder) == 3 and recording[-1].outputs is None
    with pytest.raises(ValueError, match="no `pred_boxes`"):
        recording[-1].boxes_by_layer()


def test_boxes_of_all_layers_first_layer_first(model, inputs):
    with record(model) as recording:
        outputs = model(*inputs)
    first, last = recording[-1].boxes_by_layer()
    assert torch.equal(first, outputs["aux_outputs"][0]["pred_boxes"]) and torch.equal(last, outputs["pred_boxes"])


def test_a_single_attention_module_can_be_recorded():
    attention = DeformableAttention(D_MODEL, HEADS, POINTS)
    references = torch.rand(BATCH, QUERIES, 2)
    with record(attention) as recording:
        attention(torch.randn(BATCH, QUERIES, D_MODEL), references, torch.randn(BATCH, D_MODEL, 5, 7))
    one = recording[-1].records[0]
    assert (one.name, one.part, one.layer) == ("", "", 0)
    assert torch.equal(one.reference_points, references[:, :, None])  # the one level gets its axis
    assert isinstance(recording[-1].outputs, torch.Tensor)


def test_a_model_without_deformable_attention_is_refused():
    with pytest.raises(ValueError, match="Linear holds no deformable attention.*DeformableSampling"):
        with record(nn.Linear(2, 3)):
            pass


def test_another_operator_needs_only_its_capture_function(inputs):
    """A library whose operator has other names, and another order of arguments."""

    class ForeignOperator(nn.Module):
        def forward(self, value, shapes_list, where, how_much, im2col_step):
            return DeformableSampling()(value, shapes_list, where, how_much)

    class ForeignAttention(nn.Module):
        def __init__(self):
            super().__init__()
            self.attn = ForeignOperator()

        def forward(self, hidden, reference_points):
            value = torch.ones(BATCH, TOKENS, HEADS, 2)
            where = reference_points[:, :, None, :, None].expand(BATCH, QUERIES, HEADS, LEVELS, POINTS, 2)
            how_much = torch.full((BATCH, QUERIES, HEADS, LEVELS, POINTS), 1 / (LEVELS * POINTS))
            return self.attn(value, shapes_list=SHAPES, where=where, how_much=how_much, im2col_step=64)

    def capture_foreign(arguments):
        return arguments["where"], arguments["how_much"], tuple(arguments["shapes_list"])

    model = nn.ModuleDict({"decoder": nn.ModuleList([ForeignAttention()])})
    references = torch.rand(BATCH, QUERIES, LEVELS, 2)
    with record(model, operators={ForeignOperator: capture_foreign}) as recording:
        model["decoder"][0](hidden=None, reference_points=references)
    one = recording[-1].decoder[0]
    assert one.name == "decoder.0" and torch.equal(one.reference_points, references)
    assert one.sampling_locations.shape == (BATCH, QUERIES, HEADS, LEVELS, POINTS, 2)


def test_indexing_past_the_passes_says_how_many_there_are(model):
    with record(model) as recording:
        pass
    with pytest.raises(IndexError, match="0 forward passes"):
        recording[-1]


def test_to_pixels_scales_x_by_the_width():
    locations = torch.tensor([[0.0, 0.0], [0.5, 0.25], [1.0, 1.0]])
    assert to_pixels(locations, height=40, width=100).tolist() == [[0, 0], [50, 10], [100, 40]]


def test_token_at_finds_the_cell_under_a_point(model, inputs):
    with record(model) as recording:
        model(*inputs)
    one = recording[-1].encoder[0]
    # Level 0 is 5 rows of 7, level 1 is 3 rows of 4.
    assert token_at(one, x=0.99, y=0.0) == 6
    assert token_at(one, x=0.5, y=0.3) == 1 * 7 + 3
    assert token_at(one, x=0.3, y=0.99, level=1) == 35 + 2 * 4 + 1
    assert token_at(one, x=1.0, y=1.0, level=1) == TOKENS - 1
    with pytest.raises(ValueError, match="level 2 does not exist.*has 2 levels"):
        token_at(one, 0.5, 0.5, level=2)
    with pytest.raises(ValueError, match=r"\(1.5, 0\) is outside"):
        token_at(one, 1.5, 0.0)


def test_a_new_pass_is_empty():
    assert ForwardPass().encoder == [] and ForwardPass().decoder == [] and ForwardPass().outputs is None


def test_weight_outside_by_level():
    """Two images, one query, one head, two levels of two points: inside, on the border, and beyond each side."""
    locations = torch.tensor(
        [[[[0.5, 0.5], [-0.1, 0.5]], [[0.5, 1.2], [1.1, 0.3]]], [[[0.0, 1.0], [1.0, 0.0]], [[0.2, -0.01], [0.4, 0.6]]]]
    )[:, None, None]  # (2, 1, 1, 2, 2, 2)
    weights = torch.tensor([[[0.1, 0.2], [0.3, 0.4]], [[0.25, 0.25], [0.4, 0.1]]])[:, None, None]
    found = AttentionRecord("a", "", 0, torch.zeros(2, 1, 2, 2), locations, weights, ((3, 4), (2, 5)))
    torch.testing.assert_close(weight_outside(found), torch.tensor([(0.2 + 0.0) / 2, (0.7 + 0.4) / 2]))
