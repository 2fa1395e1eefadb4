"""Where the decoder's queries come from: learned embeddings, or the pixels themselves (two-stage).

Both give `Queries`; the two-stage variant also gives what its first stage predicted for every pixel.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from defdetr_ref.boxes import refine_boxes
from defdetr_ref.decoder import Prediction, Queries
from defdetr_ref.layers import BoxHead
from defdetr_ref.positions import embed_boxes, proposal_boxes
from defdetr_ref.pyramid import PyramidTokens

PAPER_INITIAL_SIDE = 0.1  # appendix A.4: width and height of the boxes before the first refinement


class LearnedQueries(nn.Module):
    """Object queries that are parameters: half of an embedding is position, half is content (Sec. 4.1).

    The reference is a point, the sigmoid of a linear projection of the position half. It is the published starting
    box: the size is left to the bias -2.0 of the first box head, σ(-2.0) = 0.119 of the image.
    """

    def __init__(self, num_queries: int, d_model: int):
        super().__init__()
        self.embedding = nn.Embedding(num_queries, 2 * d_model)
        self.reference_points = nn.Linear(d_model, 2)
        nn.init.xavier_uniform_(self.reference_points.weight)
        nn.init.zeros_(self.reference_points.bias)

    def forward(
        self, memory: Float[Tensor, "batch token d_model"], tokens: PyramidTokens
    ) -> tuple[Queries, Prediction | None]:
        position, content = self.embedding.weight.expand(memory.shape[0], -1, -1).chunk(2, dim=-1)  # (N, Q, C) each
        return Queries(content, position, self.initial_reference(position)), None

    def initial_reference(self, position: Tensor) -> Tensor:
        """(N, Q, 2) points."""
        return self.reference_points(position).sigmoid()


class LearnedQueriesWithBoxes(LearnedQueries):
    """The paper's starting box: centre = the reference point, width = height = 0.1 of the image (appendix A.4)."""

    def initial_reference(self, position: Tensor) -> Tensor:
        """(N, Q, 4) boxes; the head adds to σ⁻¹ of them."""
        points = super().initial_reference(position)
        return torch.cat([points, torch.full_like(points, PAPER_INITIAL_SIDE)], dim=-1)


class TwoStageQueries(nn.Module):
    """The first stage (appendix A.4): every pixel proposes a box, and the best `num_queries` become object queries.

    The proposals' boxes are the decoder's first reference and, as sine embeddings, its queries: position and, in the
    published code, content as well. The gradient is blocked there: the first stage learns from its own loss.

    The published code gives the foreground score as channel 0 of a head with as many channels as there are classes;
    only that channel ever gets a positive label, and only it ranks.
    """

    def __init__(self, num_queries: int, d_model: int, class_head: nn.Linear, box_head: BoxHead):
        super().__init__()
        self.num_queries, self.d_model = num_queries, d_model
        self.memory_proj = nn.Linear(d_model, d_model)
        self.memory_norm = nn.LayerNorm(d_model)
        self.class_head, self.box_head = class_head, box_head
        self.query_proj = nn.Linear(2 * d_model, 2 * d_model)
        self.query_norm = nn.LayerNorm(2 * d_model)
        for linear in (self.memory_proj, self.query_proj):
            nn.init.xavier_uniform_(linear.weight)

    def forward(
        self, memory: Float[Tensor, "batch token d_model"], tokens: PyramidTokens
    ) -> tuple[Queries, Prediction | None]:
        """Raises ValueError if the images have fewer tokens than there are queries."""
        if memory.shape[1] < self.num_queries:
            raise ValueError(
                f"the first stage has to choose {self.num_queries} proposals, but the images give only "
                f"{memory.shape[1]} tokens; use larger images or a smaller num_queries"
            )
        proposals = self.propose(memory, tokens)
        scores = proposals.logits[..., 0]  # (N, S)
        best = scores.topk(self.num_queries, dim=1).indices  # (N, Q)
        reference = proposals.boxes.gather(1, best[..., None].expand(-1, -1, 4)).detach()  # (N, Q, 4)
        embedding = self.query_norm(self.query_proj(embed_boxes(reference, self.d_model // 2)))  # (N, Q, 2C)
        position, content = embedding.chunk(2, dim=-1)
        return Queries(content, position, reference), proposals

    def propose(self, memory: Tensor, tokens: PyramidTokens) -> Prediction:
        """Score and box of every token. Unusable ones read a zero memory and predict the box (1, 1, 1, 1)."""
        boxes, usable = proposal_boxes(tokens.centres, tokens.mask, tokens.spatial_shapes)
        features = self.memory_norm(self.memory_proj(memory.masked_fill(~usable[..., None], 0.0)))
        corrected = refine_boxes(boxes, self.box_head(features))
        return Prediction(self.class_head(features), corrected.masked_fill(~usable[..., None], 1.0))
