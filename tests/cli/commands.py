"""How the tests call the command line."""

from defdetr_ref.cli import main

SMALL = "--set d_model=32 num_heads=4 num_points=2 encoder_layers=1 decoder_layers=2 d_ffn=40 num_queries=9".split()


FAST = ["--epochs", "1", "--batch-size", "2", "--device", "cpu"]


def defdetr(*words):
    """Run the program; the exit code."""
    return main([str(word) for word in words])
