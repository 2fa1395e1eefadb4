"""transformers' config.json: what it says is what ours says, or is refused by the name of its field."""

import json

import pytest

from defdetr_ref import DeformableDETRConfig
from defdetr_ref.config import PRESETS

NAMES = [name for name, fields in PRESETS.items() if fields.get("backbone") != "small"]  # what transformers builds
ODD = dict(d_model=96, num_heads=3, num_points=5, encoder_layers=2, decoder_layers=3, d_ffn=40, num_queries=11)


@pytest.mark.parametrize("changes", [{}, {**ODD, "num_classes": 7, "dropout": 0.0}], ids=["published", "odd"])
@pytest.mark.parametrize("preset", NAMES)
def test_there_and_back(preset, changes, tmp_path):
    config = DeformableDETRConfig.preset(preset, **changes)
    content = config.to_hugging_face({1: "disc", 3: "räd"})
    assert content["id2label"]["1"] == "disc" and content["label2id"]["LABEL_2"] == 2
    (tmp_path / "config.json").write_text(json.dumps(content), encoding="utf-8")
    for source in (content, tmp_path, tmp_path / "config.json", str(tmp_path)):
        assert DeformableDETRConfig.from_hugging_face(source) == config


def test_other_levels(tmp_path):
    for strides, levels in (((4, 8, 16, 32), 5), ((8, 16), 2), ((16,), 3)):
        config = DeformableDETRConfig(feature_strides=strides, num_levels=levels)
        assert DeformableDETRConfig.from_hugging_face(config.to_hugging_face()) == config


def test_the_published_models_as_transformers_4_stores_them():
    """The backbone by its name in timm, and no number of labels but their names."""
    content = {
        "model_type": "deformable_detr",
        "backbone": "resnet50",
        "backbone_config": None,
        "use_timm_backbone": True,
        "use_pretrained_backbone": True,
        "dilation": False,
        "num_feature_levels": 4,
        "id2label": {str(label): f"name {label}" for label in range(91)},
    }
    assert DeformableDETRConfig.from_hugging_face(content) == DeformableDETRConfig()
    single = {**content, "num_feature_levels": 1}
    assert DeformableDETRConfig.from_hugging_face(single) == DeformableDETRConfig.preset("single_scale")
    stored_by_5 = {"model_type": "timm_backbone", "backbone": "resnet50", "out_indices": [2, 3, 4]}
    assert DeformableDETRConfig.from_hugging_face({**content, "backbone_config": stored_by_5}) == DeformableDETRConfig()
    two_stage = {**content, "with_box_refine": True, "two_stage": True, "two_stage_num_proposals": 70}
    assert DeformableDETRConfig.from_hugging_face(two_stage).num_queries == 70


REFUSED = {
    "dilation = True; this package builds False only": dict(dilation=True),
    "position_embedding_type = 'learned'": dict(position_embedding_type="learned"),
    "activation_function = 'gelu'": dict(activation_function="gelu"),
    "num_channels = 1": dict(num_channels=1),
    "decoder_ffn_dim = 99; this package builds 1024 only, which encoder_ffn_dim is too": dict(decoder_ffn_dim=99),
    "decoder_attention_heads = 4": dict(decoder_attention_heads=4),
    "decoder_n_points = 2": dict(decoder_n_points=2),
    "backbone_config.layer_type = 'basic'": dict(backbone_config=dict(model_type="resnet", layer_type="basic")),
    r"backbone_config.depths = \[2, 2, 2, 2\]": dict(backbone_config=dict(model_type="resnet", depths=[2, 2, 2, 2])),
    "backbone_config.model_type = 'swin'": dict(backbone_config=dict(model_type="swin")),
    "backbone_config.backbone = 'resnet18'": dict(backbone="resnet18"),
    "backbone_config.output_stride = 16": dict(backbone_kwargs={"output_stride": 16}),
    r"backbone_config.out_features = \['stem'\]": dict(
        backbone_config=dict(model_type="resnet", out_features=["stem"])
    ),
    "backbone_config = 'resnet'": dict(backbone_config="resnet"),
    "use_timm_backbone = False": dict(use_timm_backbone=False),
    "model_type 'detr'": dict(model_type="detr"),
    "d_model is 'wide'": dict(d_model="wide"),
    "two_stage needs box_refine": dict(two_stage=True),
    "num_levels = 2 is fewer than the 3": dict(num_feature_levels=2),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_ours_cannot_express_is_refused_by_the_field(words):
    with pytest.raises(ValueError, match=words):
        DeformableDETRConfig.from_hugging_face({"model_type": "deformable_detr", **REFUSED[words]})


def test_files_that_are_no_config(tmp_path):
    with pytest.raises(FileNotFoundError, match="config.json does not exist"):
        DeformableDETRConfig.from_hugging_face(tmp_path)
    for text, words in (
        ("{", "config.json is not JSON"),
        ("[1]", r"of the model_type \[1\]"),
        ("{}", "model_type None"),
    ):
        (tmp_path / "config.json").write_text(text, encoding="utf-8")
        with pytest.raises(ValueError, match=words):
            DeformableDETRConfig.from_hugging_face(tmp_path)


def test_what_transformers_does_not_have_is_refused_by_our_field():
    for changes, words in (
        (dict(backbone="small"), "backbone is 'small'"),
        (dict(box_refine=True, initial_box="paper"), "initial_box is 'paper'"),
    ):
        with pytest.raises(ValueError, match=words):
            DeformableDETRConfig(**changes).to_hugging_face()
