"""The package's messages in the words of the command line: `lr=0.1` is `--lr 0.1` there."""

import argparse
import dataclasses
import re

from defdetr_ref.config import DeformableDETRConfig

MODEL_FIELDS = [field.name for field in dataclasses.fields(DeformableDETRConfig)]
# A name that stands alone: no part of a path, of a longer name or of an option.
ALONE = r"(?<![\w./\\'\"-]){}(?![\w/\\]|\.\w|-\w)"
VALUE = r"=('[^']*'|[^\s,;]+)"


def spelled(message: str, args: argparse.Namespace) -> str:
    """`message` with every Python name of an option of this command spelled as it is typed."""
    message = message.removeprefix("TrainConfig: ")
    for name in vars(args):
        option = "--" + name.replace("_", "-")
        alone = ALONE.format(name)
        message = re.sub(alone + "=True", option, message)
        message = re.sub(alone + VALUE, rf"{option} \1", message)
        if "_" in name:  # a single word may be one of the sentence
            message = re.sub(alone + "(?!=)", option, message)
        message = re.sub(rf"^{name} (?=must )", f"{option} ", message)
    if not hasattr(args, "resume"):  # a command without this option goes on where it stopped
        message = message.replace("go on with resume=True", "the same command goes on")
    if hasattr(args, "set"):
        for name in MODEL_FIELDS:
            message = re.sub(ALONE.format(name) + VALUE, rf"--set {name}=\1", message)
        message = re.sub(r"^config: ", "--set ", message)
    return message
