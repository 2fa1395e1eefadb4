"""The models of transformers: where they read with deformable attention, and this package's operator inside them.

with use_ms_deform_attn(model):
    model(pixel_values)
"""

from defdetr_ref.hugging_face.swapping import SwappedOperators, use_ms_deform_attn

__all__ = ["SwappedOperators", "use_ms_deform_attn"]
