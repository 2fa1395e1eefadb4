"""The detector as a graph's inputs and outputs: one tensor in, named tensors out."""

from jaxtyping import Float
from torch import Tensor, nn


class Graph(nn.Module):
    """images (N, 3, H, W), normalised and without padding → named tensors."""

    def __init__(self, model: nn.Module):
        super().__init__()
        self.model = model

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Tensor]:
        """pred_logits (N, Q, num_classes), before the sigmoid; pred_boxes (N, Q, 4), cxcywh in [0, 1]."""
        outputs = self.model(images)
        return {"pred_logits": outputs["pred_logits"], "pred_boxes": outputs["pred_boxes"]}


class GraphWithPoints(Graph):
    """The same, and all that a picture of a detector at work needs."""

    def forward(self, images: Float[Tensor, "batch 3 height width"]) -> dict[str, Tensor]:
        """Beside `Graph.forward`'s, of each layer, called "encoder.0.sampling_locations", …:

        sampling_locations (N, Q, M, L, K, 2), x and y in [0, 1] of the image; attention_weights (N, Q, M, L, K);
        reference_points (N, Q, L, 2 or 4); and of the decoder's layers boxes (N, Q, 4), cxcywh. The two-stage variant
        adds the proposals of all S tokens: enc_outputs.pred_logits (N, S, num_classes), enc_outputs.pred_boxes.
        """
        from defdetr_ref.explain.recording import record  # brings matplotlib

        with record(self.model) as recording:
            outputs = self.model(images)
        named = {"pred_logits": outputs["pred_logits"], "pred_boxes": outputs["pred_boxes"]}
        boxes = [layer["pred_boxes"] for layer in (*outputs["aux_outputs"], outputs)]
        for one in recording[-1].records:
            name = f"{one.part}.{one.layer}"
            named[f"{name}.sampling_locations"] = one.sampling_locations
            named[f"{name}.attention_weights"] = one.attention_weights
            named[f"{name}.reference_points"] = one.reference_points
            if one.part == "decoder":
                # a copy, because a graph gives no tensor two names
                named[f"{name}.boxes"] = boxes[one.layer].clone()
        for name, tensor in outputs.get("enc_outputs", {}).items():
            named[f"enc_outputs.{name}"] = tensor
        return named
