import pytest
import torch
from torch import nn

from defdetr_ref import postprocess
from defdetr_ref.inference import evaluation_mode


def test_top_scores_over_queries_and_classes():
    rng = torch.Generator().manual_seed(0)
    outputs = {"pred_logits": torch.randn(2, 4, 3, generator=rng), "pred_boxes": torch.rand(2, 4, 4, generator=rng)}
    sizes = [(50, 80), (30, 20)]
    for image, result in enumerate(postprocess(outputs, sizes, top_k=5)):
        scores = outputs["pred_logits"][image].sigmoid()
        every = sorted(((scores[q, c].item(), q, c) for q in range(4) for c in range(3)), reverse=True)
        height, width = sizes[image]
        assert len(result["scores"]) == 5
        for n, (score, query, label) in enumerate(every[:5]):
            assert result["scores"][n].item() == pytest.approx(score) and result["labels"][n].item() == label
            cx, cy, w, h = outputs["pred_boxes"][image, query].tolist()
            corners = [(cx - w / 2) * width, (cy - h / 2) * height, (cx + w / 2) * width, (cy + h / 2) * height]
            assert result["boxes"][n].tolist() == pytest.approx(corners, rel=1e-5)


def test_fewer_pairs_than_asked_for_and_a_missing_size():
    outputs = {"pred_logits": torch.zeros(1, 4, 3), "pred_boxes": torch.rand(1, 4, 4)}
    assert len(postprocess(outputs, torch.tensor([[5, 6]]), top_k=100)[0]["scores"]) == 12
    with pytest.raises(ValueError, match="got 2 sizes for 1 images"):
        postprocess(outputs, [(1, 2), (3, 4)])


def test_detections_keep_no_graph():
    """Answers are kept for a whole epoch of evaluation; with their graphs they would keep every activation."""
    outputs = {"pred_logits": torch.randn(2, 4, 3).requires_grad_(), "pred_boxes": torch.rand(2, 4, 4).requires_grad_()}
    results = postprocess(outputs, [(50, 80), (30, 20)])
    assert not any(tensor.requires_grad for result in results for tensor in result.values())


def test_default_number_of_detections():
    outputs = {"pred_logits": torch.zeros(1, 60, 7), "pred_boxes": torch.rand(1, 60, 4)}
    assert len(postprocess(outputs, [(50, 80)])[0]["scores"]) == 100


def test_evaluation_is_for_the_block_alone_and_every_module_is_as_before():
    """A frozen part stays in evaluation mode, whatever happens in the block."""
    model = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3), nn.Linear(3, 2))
    model[1].eval()
    before = [module.training for module in model.modules()]
    assert before == [True, True, False, True]
    with pytest.raises(KeyError), evaluation_mode(model):
        assert not any(module.training for module in model.modules())
        assert not model(torch.rand(4, 3)).requires_grad
        raise KeyError
    assert [module.training for module in model.modules()] == before and torch.is_grad_enabled()
