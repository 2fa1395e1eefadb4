"""Deformable DETR (Zhu et al., 2020), from images to boxes. Read `DeformableDETR.forward` beside the paper's Figure 1.

    images ─ backbone ─ C3 C4 C5 ─ pyramid ─ tokens of 4 levels ─ encoder ─ memory ─┐
                                                          queries (learned, or      ├─ decoder ─ classes, boxes
                                                          the best proposals) ──────┘

| variant      | differs in                                                          | rooms                    |
|--------------|---------------------------------------------------------------------|--------------------------|
| single_scale | C5 alone                                                            | pyramid.py               |
| multi_scale  | C3, C4, C5 and a level of stride 64                                 | pyramid.py               |
| box_refine   | each decoder layer corrects the box of the one before               | decoder.py               |
| two_stage    | the encoder's pixels propose boxes, the best become the queries     | proposals.py             |
"""

import copy

from jaxtyping import Bool, Float
from torch import Tensor, nn

from defdetr_ref.backbone import build_backbone
from defdetr_ref.batching import check_images
from defdetr_ref.config import DeformableDETRConfig
from defdetr_ref.decoder import Decoder, DecoderLayer, RefiningDecoder, as_outputs
from defdetr_ref.encoder import Encoder, EncoderLayer
from defdetr_ref.layers import build_heads
from defdetr_ref.proposals import LearnedQueries, LearnedQueriesWithBoxes, TwoStageQueries
from defdetr_ref.pyramid import FeaturePyramid

INITIAL_SIZE_BIAS = -2.0  # published code: σ(-2.0) = 0.119 of the image; the paper's box refinement starts from 0.1


class DeformableDETR(nn.Module):
    """The detector of the paper in all four variants; which one, the config says."""

    def __init__(self, config: DeformableDETRConfig):
        super().__init__()
        self.config = config
        self.backbone = build_backbone(config.backbone, config.feature_strides)
        self.pyramid = FeaturePyramid(self.backbone.channels, config.d_model, config.num_levels)
        layer = dict(
            d_model=config.d_model,
            num_heads=config.num_heads,
            num_levels=config.num_levels,
            num_points=config.num_points,
            d_ffn=config.d_ffn,
            dropout=config.dropout,
            attention_backend=config.attention_backend,
        )
        self.encoder = Encoder([EncoderLayer(**layer) for _ in range(config.encoder_layers)])
        decoder_layers = [DecoderLayer(**layer) for _ in range(config.decoder_layers)]

        class_head, box_head = build_heads(config)
        if config.box_refine:  # heads of their own for every layer, all alike at the start
            class_heads = [copy.deepcopy(class_head) for _ in decoder_layers]
            box_heads = [copy.deepcopy(box_head) for _ in decoder_layers]
        else:  # one pair of heads, shared by all layers
            class_heads, box_heads = [class_head] * len(decoder_layers), [box_head] * len(decoder_layers)
        decoder_class = RefiningDecoder if config.box_refine else Decoder
        self.decoder = decoder_class(decoder_layers, class_heads, box_heads)

        if config.two_stage:
            self.queries = TwoStageQueries(config.num_queries, config.d_model, class_head, box_head)
        elif config.initial_box == "paper":
            self.queries = LearnedQueriesWithBoxes(config.num_queries, config.d_model)
        else:
            self.queries = LearnedQueries(config.num_queries, config.d_model)
            nn.init.constant_(box_heads[0].layers[-1].bias.data[2:], INITIAL_SIZE_BIAS)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"], mask: Bool[Tensor, "batch height width"] | None = None
    ) -> dict[str, Tensor | list | dict]:
        """images: normalised and padded together (see `pad_images`); mask: True on padding, None for no padding.

        Returns
            pred_logits (N, Q, num_classes), before the sigmoid; pred_boxes (N, Q, 4), cxcywh in [0, 1] of the image
            without its padding; aux_outputs, the same two for every decoder layer but the last; and, in the two-stage
            variant, enc_outputs, the same two for all S tokens.
        Raises ValueError for images smaller than the largest stride and for masks that hide a whole image.
        """
        mask = check_images(images, mask, self.config.largest_stride)
        maps = self.backbone(images)  # C3, C4, C5: strides 8, 16, 32
        tokens = self.pyramid(maps, mask)  # (N, S, C) over all levels
        memory = self.encoder(tokens)  # (N, S, C)
        queries, proposals = self.queries(memory, tokens)  # (N, Q, C)
        predictions = self.decoder(queries, memory, tokens)  # one for each layer
        return as_outputs(predictions, proposals)
