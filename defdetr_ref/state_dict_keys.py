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

# The published code's key -> that in transformers' files. Stages count from 0 there, and q, k, v are three matrices.
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
    (r"^transformer\.(encoder|decoder)\.layers\.(\d+)\.linear([12])\.", r"model.\1.layers.\2.fc\3."),
    (r"^transformer\.(encoder|decoder)\.", r"model.\1."),
    (r"^backbone\.0\.body\.conv1\.", "model.backbone.conv_encoder.model.embedder.embedder.convolution."),
    (r"^backbone\.0\.body\.bn1\.", "model.backbone.conv_encoder.model.embedder.embedder.normalization."),
]
HUGGING_FACE_BACKBONE = "model.backbone.conv_encoder.model."
# How transformers 5 calls some of them in memory -> in its files, where they kept the names that they had in 4.
FROM_MEMORY = [
    (r"^model\.backbone\.model\.", HUGGING_FACE_BACKBONE),
    (r"^(model\.decoder\.layers\.\d+\.self_attn\.)o_proj\.", r"\1out_proj."),
    (r"^(model\.(?:encoder|decoder)\.layers\.\d+\.)mlp\.fc([12])\.", r"\1fc\2."),
]
# Where the decoder of the published code and of transformers holds the heads a second time.
ALIAS = re.compile(r"^(?:transformer|model)\.decoder\.((?:bbox|class)_embed\..*)$")
HEAD = re.compile(r"^((?:bbox|class)_embed)\.(\d+)\.(.*)$")
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
    """What the published code's key is called in the files that transformers writes."""
    block = re.match(r"^backbone\.0\.body\.layer(\d)\.(\d+)\.(.*)$", official)
    if block is None:
        return _first_match(TO_HUGGING_FACE, official)
    stage, number, rest = int(block[1]) - 1, block[2], block[3]
    rest = rest.replace("downsample.0.", "shortcut.convolution.").replace("downsample.1.", "shortcut.normalization.")
    rest = re.sub(r"^conv(\d)\.", lambda match: f"layer.{int(match[1]) - 1}.convolution.", rest)
    rest = re.sub(r"^bn(\d)\.", lambda match: f"layer.{int(match[1]) - 1}.normalization.", rest)
    return f"{HUGGING_FACE_BACKBONE}encoder.stages.{stage}.layers.{number}.{rest}"


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
    """Rename a state dict of any layout to our `keys`. Also returns the keys that are missing and those not used.

    Raises ValueError as `unified` does.
    """
    layout = layout_of(set(state_dict))
    state_dict = unified(state_dict, layout)
    renamed, missing, used = {}, set(), set()
    for key in keys:
        sources = source_keys(key, layout, decoder_layers)
        absent = [source for source in sources if source not in state_dict]
        missing.update(absent)
        used.update(sources)
        if not absent:
            parts = [state_dict[source] for source in sources]
            renamed[key] = parts[0] if len(parts) == 1 else torch.cat(parts)
    # A norm that is frozen counts no batches.
    left_over = {key for key in set(state_dict) - used if not key.endswith("num_batches_tracked")}
    return renamed, missing, left_over


def unified(state_dict: dict[str, Tensor], layout: str) -> dict[str, Tensor]:
    """The same weights with one name each: transformers' names are those in its files, whichever version wrote them,
    and every head is there once, whether it was there twice or only as the head that it is tied to.

    Raises ValueError if two names of one weight hold different numbers.
    """
    named: dict[str, Tensor] = {}
    aliases: dict[str, Tensor] = {}
    for key, tensor in state_dict.items():
        key = _file_key(key) if layout == "huggingface" else key
        alias = ALIAS.match(key)
        name, place = (alias[1], aliases) if alias else (key, named)
        if name in place and not torch.equal(place[name], tensor):
            raise ValueError(f"{name} is there under two names, with different numbers")
        place[name] = tensor
    differing = [name for name in aliases if name in named and not torch.equal(named[name], aliases[name])]
    if differing:
        raise ValueError(f"{differing[0]} and the decoder's copy of it hold different numbers; this package has one")
    named = aliases | named
    return _untied(named) if layout == "huggingface" else named


def _file_key(key: str) -> str:
    """The name in a file for a name in memory, and transformers' own ResNet's for timm's, which is torchvision's."""
    key = _first_match(FROM_MEMORY, key)
    timm = re.match(rf"^{re.escape(HUGGING_FACE_BACKBONE)}((?:conv1|bn1|layer\d)\..*)$", key)
    return hugging_face_key(f"backbone.0.body.{timm[1]}") if timm else key


def _untied(state_dict: dict[str, Tensor]) -> dict[str, Tensor]:
    """With every head of every decoder layer: files of transformers leave out those that are tied to the first."""
    layers = {int(match[1]) for key in state_dict if (match := re.match(r"^model\.decoder\.layers\.(\d+)\.", key))}
    number = len(layers) + any(key.startswith("model.enc_output.") for key in state_dict)  # the first stage's heads
    heads = [match for key in state_dict if (match := HEAD.match(key))]
    for kind in ("bbox_embed", "class_embed"):
        mine = [match for match in heads if match[1] == kind]
        if {match[2] for match in mine} == {"0"}:
            copies = {f"{kind}.{i}.{match[3]}": state_dict[match[0]] for i in range(1, number) for match in mine}
            state_dict = state_dict | copies
    return state_dict


def to_official(state_dict: dict[str, Tensor], config) -> dict[str, Tensor]:
    """Our state dict under the published code's keys, its aliases included, so that its strict loading accepts it."""
    official = {official_key(key, config.decoder_layers): tensor for key, tensor in state_dict.items()}
    aliased = ("bbox_embed.",) * config.box_refine + ("class_embed.",) * config.two_stage
    copies = {f"transformer.decoder.{key}": tensor for key, tensor in official.items() if key.startswith(aliased)}
    return official | copies


def to_hugging_face(state_dict: dict[str, Tensor], config) -> dict[str, Tensor]:
    """Our state dict under the names in the files of transformers, every head under each of its names."""
    official = to_official(state_dict, config)
    renamed: dict[str, Tensor] = {}
    for key, tensor in official.items():
        name = hugging_face_key(key)
        if PACKED in name:
            names = [name.replace(PACKED, f"self_attn.{part}_proj.") for part in "qkv"]
            renamed |= dict(zip(names, tensor.chunk(3), strict=True))
        else:
            renamed[name] = tensor
    return renamed
