"""The model's configuration, and the presets of the paper's Table 1 plus two for a CPU."""

from dataclasses import dataclass, fields, replace

NUM_COCO_CLASSES = 91  # raw category ids 1 to 90; id 0 is never used
COARSER_LEVEL_STRIDE = 2  # of each level beyond the backbone's


@dataclass(frozen=True)
class DeformableDETRConfig:
    """Defaults are the published multi-scale model. Raises ValueError for values that cannot be built."""

    num_classes: int = NUM_COCO_CLASSES  # labels are raw category ids, so one more than the largest id
    backbone: str = "resnet50"  # or "small"
    feature_strides: tuple[int, ...] = (8, 16, 32)  # of the backbone's maps: C3, C4, C5
    num_levels: int = 4  # levels beyond the backbone's are strided convolutions
    d_model: int = 256  # C, channels of every token and query
    num_heads: int = 8  # M, of every attention
    num_points: int = 4  # K, for each head on each level
    encoder_layers: int = 6  # each looks around on all levels
    decoder_layers: int = 6  # each predicts, and each is trained
    d_ffn: int = 1024  # hidden channels of the feed-forward networks
    dropout: float = 0.1  # of every attention and feed-forward network, while training
    num_queries: int = 300  # Q, object queries; with two_stage, proposals that are kept
    box_refine: bool = False  # each decoder layer corrects the box of the one before
    two_stage: bool = False  # the encoder's pixels propose, the best become queries; needs box_refine
    initial_box: str = "published"  # or "paper": of one-stage refinement; see proposals.py
    attention_backend: str = "auto"  # which version of the operator runs, see `ms_deform_attn`; changes no weights

    def __post_init__(self):
        object.__setattr__(self, "feature_strides", tuple(self.feature_strides))  # json and checkpoints give a list
        positive = (
            "num_classes",
            "num_heads",
            "num_points",
            "encoder_layers",
            "decoder_layers",
            "d_ffn",
            "num_queries",
        )
        for name in positive:
            if getattr(self, name) < 1:
                raise ValueError(f"config: {name} is {getattr(self, name)}; it must be at least 1")
        if self.d_model % 32 or self.d_model % self.num_heads or self.d_model < 32:
            raise ValueError(
                f"config: d_model = {self.d_model} must be a multiple of 32 (group norm) and "
                f"of num_heads = {self.num_heads}"
            )
        if self.num_levels < len(self.feature_strides):
            raise ValueError(
                f"config: num_levels = {self.num_levels} is fewer than the {len(self.feature_strides)} feature_strides "
                f"{self.feature_strides}"
            )
        if self.two_stage and not self.box_refine:
            raise ValueError("config: two_stage needs box_refine=True, because its proposals are boxes to be refined")
        if self.initial_box not in ("published", "paper"):
            raise ValueError(f"config: initial_box is {self.initial_box!r}; choose 'published' or 'paper'")
        if self.initial_box == "paper" and (self.two_stage or not self.box_refine):
            raise ValueError(
                "config: initial_box='paper' describes one-stage refinement; set box_refine=True, two_stage=False"
            )

    @property
    def largest_stride(self) -> int:
        """Of the coarsest level, in pixels of the image."""
        return self.feature_strides[-1] * COARSER_LEVEL_STRIDE ** (self.num_levels - len(self.feature_strides))

    @classmethod
    def preset(cls, name: str, **overrides) -> "DeformableDETRConfig":
        """The configuration called `name`, with single fields replaced by `overrides`.

        Raises ValueError for an unknown preset or field.
        """
        if name not in PRESETS:
            raise ValueError(f"unknown preset {name!r}; choose from {', '.join(PRESETS)}")
        unknown = set(overrides) - {field.name for field in fields(cls)}
        if unknown:
            raise ValueError(f"config has no field {', '.join(sorted(unknown))}")
        return replace(cls(**PRESETS[name]), **overrides)


PRESETS = {
    "single_scale": dict(feature_strides=(32,), num_levels=1),
    "multi_scale": dict(),
    "box_refine": dict(box_refine=True),
    "two_stage": dict(box_refine=True, two_stage=True),
    "tiny": dict(
        backbone="small",
        feature_strides=(8, 16, 32),
        num_levels=3,
        d_model=96,
        num_heads=4,
        encoder_layers=2,
        decoder_layers=3,
        d_ffn=256,
        dropout=0.0,
        num_queries=30,
        box_refine=True,
        two_stage=True,
    ),
}
# The third level is made from the second, instead of being a map of the backbone, which would be 4 by 4 in an image of
# 128 px and costs 0.9 million parameters: equally good there, and small enough to ship.
PRESETS["compact"] = {**PRESETS["tiny"], "feature_strides": (8, 16)}
