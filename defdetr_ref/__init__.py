"""Deformable DETR (Zhu et al., 2020), written to be read."""
