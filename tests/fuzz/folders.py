"""Folders that transformers writes, of configs drawn at random: read with the same outputs and written back bit for
bit in every layout, or refused by the field that this package does not have.
"""

import copy
import random
from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn

from defdetr_ref import DeformableDETR, checkpoints, pad_images
from defdetr_ref.hugging_face_images import NAME, to_json
from defdetr_ref.studies.results import write_json
from tests.fuzz.campaign import assert_is_a_sentence

STAGES = ("stage1", "stage2", "stage3", "stage4")
DTYPES = (torch.float32, torch.float32, torch.float16, torch.bfloat16)
NAMES = ("cup", "räd", "N/A", "LABEL_0", "a b", "犬")
# What this package does not have, one of which is drawn at times: where it is said, and what.
FOREIGN: list[tuple[str, dict[str, Any]]] = [
    ("model", {"dilation": True}),
    ("model", {"activation_function": "gelu"}),
    ("model", {"position_embedding_type": "learned"}),
    ("model", {"decoder_ffn_dim": 52}),
    ("model", {"decoder_n_points": 7}),
    ("backbone", {"depths": [2, 2, 2, 2]}),
    ("backbone", {"layer_type": "basic"}),
    ("backbone", {"hidden_sizes": [64, 128, 256, 512]}),
    ("backbone", {"embedding_size": 32}),
    ("backbone", {"hidden_act": "silu"}),
    ("backbone", {"downsample_in_bottleneck": True}),
    ("images", {"image_mean": [0.5, 0.5, 0.5]}),
    ("images", {"do_rescale": False}),
    ("images", {"size": {"height": 64, "width": 96}}),
]


class Target:
    """A new folder for each case, and none left behind."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        transformers.logging.set_verbosity_error()
        transformers.logging.disable_progress_bar()

    def case(self, rng: random.Random) -> str:
        place, foreign = rng.choice(FOREIGN) if rng.random() < 0.4 else ("nowhere", {})
        torch.manual_seed(rng.randrange(2**31))
        oracle = self._oracle(rng, {place: foreign})
        theirs = self.folder / "theirs"
        oracle.save_pretrained(theirs, max_shard_size=rng.choice(("30MB", "5GB")))
        resize = rng.choice(("none", "paper", [64, 96]))
        write_json(theirs / NAME, to_json(resize) | (foreign if place == "images" else {}))
        try:
            model, content = checkpoints.read_model(theirs)
        except ValueError as error:
            assert_is_a_sentence(error, next(iter(foreign), "read"))
            return f"refused by its field of {place}"
        finally:
            for file in theirs.iterdir():
                file.unlink()
        assert not foreign, f"{foreign} is not refused"
        assert content["resize"] == resize
        self._compare(oracle.float().eval(), model, rng)
        return "read and written"

    def _oracle(self, rng: random.Random, foreign: dict[str, dict[str, Any]]) -> nn.Module:
        """Its weights perturbed, so that no two of them are equal by their initialisation."""
        stages = sorted(rng.sample(STAGES, rng.randint(1, 3)))
        heads, refine, queries = rng.choice((1, 2, 4, 8)), rng.random() < 0.7, rng.randint(1, 9)
        width = rng.choice((32, 64, 96, 160))  # of 32 groups that are normalised together
        backbone = {"out_features": stages} | foreign.get("backbone", {})
        ffn, points = rng.randint(3, 50), rng.randint(1, 6)
        drawn = {  # with two decoder layers at least: transformers cannot tie the heads of one
            "num_feature_levels": len(stages) + rng.randint(0, 2), "d_model": width,
            "encoder_attention_heads": heads, "decoder_attention_heads": heads,
            "encoder_n_points": points, "decoder_n_points": points,
            "encoder_layers": rng.randint(1, 3), "decoder_layers": rng.randint(2, 3),
            "encoder_ffn_dim": ffn, "decoder_ffn_dim": ffn, "dropout": rng.choice((0.0, 0.25)),
            "num_queries": queries, "two_stage_num_proposals": queries,
            "with_box_refine": refine, "two_stage": refine and rng.random() < 0.5,
            "id2label": dict(enumerate(rng.choices(NAMES, k=rng.randint(1, 12)))),
            "auxiliary_loss": rng.random() < 0.5,
        }  # fmt: skip
        config = transformers.DeformableDetrConfig(
            backbone_config=transformers.ResNetConfig(**backbone),
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            **drawn | foreign.get("model", {}),
        )
        model = transformers.DeformableDetrForObjectDetection(config)
        if refine and rng.random() < 0.7:  # as the published models: a class head for each layer
            model.class_embed = nn.ModuleList(copy.deepcopy(head) for head in model.class_embed)
            if config.two_stage:
                model.model.decoder.class_embed = model.class_embed
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(0.02 * torch.randn_like(parameter))
        return model.to(rng.choice(DTYPES))

    def _compare(self, oracle: nn.Module, model: DeformableDETR, rng: random.Random) -> None:
        images, mask = pad_images([torch.randn(3, rng.randint(128, 170), rng.randint(128, 170)) for _ in range(2)])
        with torch.no_grad():
            expected = oracle(pixel_values=images, pixel_mask=(~mask).long())
            outputs = model(images, mask)
        expected = torch.cat([expected.logits, expected.pred_boxes], dim=-1)
        assert_same_rows(torch.cat([outputs["pred_logits"], outputs["pred_boxes"]], dim=-1), expected)
        for layout, name in (("ours", "ours.safetensors"), ("official", "official.pth"), ("huggingface", "again")):
            path = self.folder / name
            checkpoints.save_as(model, path, layout=layout)
            back = checkpoints.build_model(path)
            assert back.config == model.config, f"{layout}: {back.config} instead of {model.config}"
            weights = back.state_dict()
            assert all(torch.equal(one, weights[key]) for key, one in model.state_dict().items()), layout
        again, report = transformers.DeformableDetrForObjectDetection.from_pretrained(
            self.folder / "again", output_loading_info=True
        )
        assert not any(report.values()), report
        with torch.no_grad():
            theirs = again.eval()(pixel_values=images, pixel_mask=(~mask).long())
        assert_same_rows(torch.cat([theirs.logits, theirs.pred_boxes], dim=-1), expected)


def assert_same_rows(found: Tensor, expected: Tensor) -> None:
    """Queries of a first stage come in the order of their scores, of which two may be as good as equal."""
    distance = torch.cdist(found, expected, p=torch.inf) / (1 + expected.abs().amax())
    for axis in (1, 2):
        assert distance.amin(axis).amax() < 1e-4, f"outputs are {distance.amin(axis).amax():.2g} apart"
