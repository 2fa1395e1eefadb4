"""Key names of the same weights in three layouts: ours, the published code's and Hugging Face's.

A layout is described by how one of our keys is called there, so one table serves reading and writing.
"""

import re

import torch
from torch import Tensor

# Our key -> the published code's; the first pattern that matches is used.
TO_OFFICIAL = [
    (r"^backbone\.", "backbone.0.body."),
    (r"^pyramid\.level_embed", "transformer.level_embed"),
    (r"^pyramid\.projections\.", "input_proj."),
    (r"^encoder\.layers\.(\d+)\.attention\.", r"transformer.encoder.layers.\1.self_attn."),
    (r"^encoder\.layers\.(\d+)\.attention_norm\.", r"transformer.encoder.layers.\1.norm1."),
    (r"^encoder\.layers\.(\d+)\.ffn_norm\.", r"transformer.encoder.layers.\1.norm2."),
    (r"^decoder\.layers\.(\d+)\.self_attention\.", r"transformer.decoder.layers.\1.self_attn."),
    (r"^decoder\.layers\.(\d+)\.cross_attention\.", r"transformer.decoder.layers.\1.cross_attn."),
    (r"^decoder\.layers\.(\d+)\.cross_norm\.", r"transformer.decoder.layers.\1.norm1."),
    (r"^decoder\.layers\.(\d+)\.self_norm\.", r"transformer.decoder.layers.\1.norm2."),
    (r"^decoder\.layers\.(\d+)\.ffn_norm\.", r"transformer.decoder.layers.\1.norm3."),
    (r"^(encoder|decoder)\.layers\.(\d+)\.ffn\.", r"transformer.\1.layers.\2."),
    (r"^decoder\.class_heads\.", "class_embed."),
    (r"^decoder\.box_heads\.", "bbox_embed."),
    (r"^queries\.class_head\.", "class_embed.{last}."),
    (r"^queries\.box_head\.", "bbox_embed.{last}."),
    (r"^queries\.embedding\.", "query_embed."),
    (r"^queries\.reference_points\.", "transformer.reference_points."),
    (r"^queries\.memory_proj\.", "transformer.enc_output."),
    (r"^queries\.memory_norm\.", "transformer.enc_output_norm."),
    (r"^queries\.query_proj\.", "transformer.pos_trans."),
    (r"^queries\.query_norm\.", "transformer.pos_trans_norm."),
]

# The published code's key -> that of transformers 5. Stages count from 0 there, and q, k, v are three matrices.
TO_HUGGING_FACE = [
    (r"^transformer\.(level_embed|reference_points\.|enc_output|pos_trans)", r"model.\1"),
    (r"^query_embed\.", "model.query_position_embeddings."),
    (r"^input_proj\.", "model.input_proj."),
    (r"^transformer\.encoder\.layers\.(\d+)\.norm1\.", r"model.encoder.layers.\1.self_attn_layer_norm."),
    (r"^transformer\.encoder\.layers\.(\d+)\.norm2\.", r"model.encoder.layers.\1.final_layer_norm."),
    (r"^transformer\.decoder\.layers\.(\d+)\.cross_attn\.", r"model.decoder.layers.\1.encoder_attn."),
    (r"^transformer\.decoder\.layers\.(\d+)\.norm1\.", r"model.decoder.layers.\1.encoder_attn_layer_norm."),
    (r"^transformer\.decoder\.layers\.(\d+)\.norm2\.", r"model.decoder.layers.\1.self_attn_layer_norm."),
    (r"^transformer\.decoder\.layers\.(\d+)\.norm3\.", r"model.decoder.layers.\1.final_layer_norm."),
    (r"^transformer\.decoder\.layers\.(\d+)\.self_attn\.out_proj\.", r"model.decoder.layers.\1.self_attn.o_proj."),
    (r"^transformer\.(encoder|decoder)\.layers\.(\d+)\.linear([12])\.", r"model.\1.layers.\2.mlp.fc\3."),
    (r"^transformer\.(encoder|decoder)\.", r"model.\1."),
    (r"^backbone\.0\.body\.conv1\.", "model.backbone.model.embedder.embedder.convolution."),
    (r"^backbone\.0\.body\.bn1\.", "model.backbone.model.embedder.embedder.normalization."),
]
HUGGING_FACE_STAGES = "model.backbone.model.encoder.stages."
PACKED = "self_attn.in_proj_"  # q, k and v in one matrix, in this order


def layout_of(keys: set[str]) -> str:
    """ "ours", "official" or "huggingface", told apart by the keys. Raises ValueError if it is none of them."""
    for layout, prefixes in {
        "ours": ("pyramid.",),
        "official": ("transformer.", "input_proj."),
        "huggingface": ("model.encoder.", "model.input_proj."),
    }.items():
        if any(key.startswith(prefixes) for key in keys):
            return layout
    raise ValueError(
        f"these weights are not of a Deformable DETR in our, the published or Hugging Face's layout; their keys begin "
        f"with {', '.join(sorted(keys)[:3]) or 'nothing: the state dict is empty'}"
    )


def _first_match(table: list[tuple[str, str]], key: str) -> str:
    for pattern, replacement in table:
        if re.match(pattern, key):
            return re.sub(pattern, replacement, key)
    return key


def official_key(key: str, decoder_layers: int) -> str:
    """What the published code calls our `key`; the first stage's heads stand behind those of the decoder layers."""
    return _first_match(TO_OFFICIAL, key).replace("{last}", str(decoder_layers))


def hugging_face_key(official: str) -> str:
    """What transformers 5 calls the published code's key."""
    block = re.match(r"^backbone\.0\.body\.layer(\d)\.(\d+)\.(.*)$", official)
    if block is None:
        return _first_match(TO_HUGGING_FACE, official)
    stage, number, rest = int(block[1]) - 1, block[2], block[3]
    rest = rest.replace("downsample.0.", "shortcut.convolution.").replace("downsample.1.", "shortcut.normalization.")
    rest = re.sub(r"^conv(\d)\.", lambda match: f"layer.{int(match[1]) - 1}.convolution.", rest)
    rest = re.sub(r"^bn(\d)\.", lambda match: f"layer.{int(match[1]) - 1}.normalization.", rest)
    return f"{HUGGING_FACE_STAGES}{stage}.layers.{number}.{rest}"


def source_keys(key: str, layout: str, decoder_layers: int) -> list[str]:
    """The key or keys of `layout` that hold our `key`; several are to be concatenated."""
    if layout == "ours":
        return [key]
    official = official_key(key, decoder_layers)
    if layout == "official":
        return [official]
    renamed = hugging_face_key(official)
    if PACKED in renamed:
        return [renamed.replace(PACKED, f"self_attn.{part}_proj.") for part in "qkv"]
    return [renamed]


def to_ours(state_dict: dict[str, Tensor], keys: list[str], decoder_layers: int) -> tuple[dict[str, Tensor], set, set]:
    """Rename a state dict of any layout to our `keys`. Also returns the keys that are missing and those not used."""
    layout = layout_of(set(state_dict))
    renamed, missing, used = {}, set(), set()
    for key in keys:
        sources = source_keys(key, layout, decoder_layers)
        absent = [source for source in sources if source not in state_dict]
        missing.update(absent)
        used.update(sources)
        if not absent:
            parts = [state_dict[source] for source in sources]
            renamed[key] = parts[0] if len(parts) == 1 else torch.cat(parts)
    left_over = {key for key in set(state_dict) - used if not _is_alias(key)}
    return renamed, missing, left_over


def _is_alias(key: str) -> bool:
    """Keys that repeat a tensor (the decoder's copies of the heads) or count batches for a norm that is frozen."""
    return bool(re.match(r"^(transformer|model)\.decoder\.(bbox|class)_embed\.", key)) or key.endswith(
        "num_batches_tracked"
    )


def to_official(state_dict: dict[str, Tensor], config) -> dict[str, Tensor]:
    """Our state dict under the published code's keys, its aliases included, so that its strict loading accepts it."""
    official = {official_key(key, config.decoder_layers): tensor for key, tensor in state_dict.items()}
    aliased = ("bbox_embed.",) * config.box_refine + ("class_embed.",) * config.two_stage
    copies = {f"transformer.decoder.{key}": tensor for key, tensor in official.items() if key.startswith(aliased)}
    return official | copies
