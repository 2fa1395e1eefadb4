"""List the trained detectors that come with the package, show how one was made, or make it again."""

import argparse
from pathlib import Path
from typing import Any

from defdetr_ref import zoo

ACTIONS = ("list", "card", "train")
FOLDER = "runs/zoo"
SHOWN = ("AP", "AP50", "AP_small", "AP_medium", "AP_large")


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of `defdetr zoo`."""
    parser.add_argument("action", nargs="?", choices=ACTIONS, default="list", help="(default %(default)s)")
    parser.add_argument("name", nargs="?", metavar="NAME", help="for card and train: which detector")
    parser.add_argument("--out", default=FOLDER, metavar="FOLDER", help="for train: the run (default %(default)s)")


def run(args: argparse.Namespace) -> None:
    """Do what was asked for. A training that was interrupted goes on."""
    if args.action == "list":
        if args.name is not None:
            raise ValueError(f"zoo list takes no name; for {args.name} alone: defdetr zoo card {args.name}")
        print(table([zoo.card(name) for name in zoo.names()]))
        return
    if args.name is None:
        raise ValueError(f"zoo {args.action}: which one? write one of {', '.join(zoo.names())} behind it")
    if args.action == "card":
        print(format_card(zoo.card(args.name)))
        return
    from defdetr_ref.zoo.training import train_detector  # brings the data sets, the training loop and pycocotools

    print(f"weights in {train_detector(args.name, Path(args.out))}; the card beside them says how good they are")


def table(cards: list[dict[str, Any]]) -> str:
    """A line for each detector, AP in per cent."""
    width = max([4, *(len(card["name"]) for card in cards)])
    lines = [f"{'name':<{width}}" + "".join(f"{name:>11}" for name in SHOWN) + "      MB"]
    for card in cards:
        figures = "".join(f"{percent(card['metrics'][name]):>11}" for name in SHOWN)
        lines.append(f"{card['name']:<{width}}{figures}{card['bytes'] / 1e6:>8.1f}")
    return "\n".join(lines)


def format_card(card: dict[str, Any]) -> str:
    """All that a reader may want to know of one detector."""
    test, machine, versions = card["test"], card["machine"], card["versions"]
    lines = [
        f"{card['name']}: {card['summary']}",
        f"made by: {card['command']} (seed {card['seed']})",
        f"training: {card['steps']:,} steps of {card['train']['batch_size']} new images, "
        f"{card['seconds'] / 60:.0f} minutes, {machine['torch_threads']} thread(s) of {machine['processor']}",
        f"size: {card['parameters']:,} parameters, {card['bytes'] / 1e6:.1f} MB ({card['stored']})",
        f"with: Python {versions['python']}, torch {versions['torch']}",
        f"judged on: {test['images']} validation images of {card['data']}, seed {test['seed']}; per cent:",
        *(f"  {name:<10}{percent(value):>6}" for name, value in card["metrics"].items()),
    ]
    for part, shares in card["outside"].items():
        listed = ", ".join(f"{100 * share:.0f}" for share in shares)
        lines.append(f"attention weight that reads outside the image, {part}, layer by layer: {listed} %")
    if card["epochs"]:
        lines.append("earlier in the same training:")
        for epoch, one in card["epochs"].items():
            small = percent(one["metrics"]["AP_small"])
            lines.append(f"  epoch {epoch:>3}: AP {percent(one['metrics']['AP'])}, small {small} ({one['stored']})")
    return "\n".join(lines)


def percent(share: float | None) -> str:
    """A figure in [0, 1] in per cent; a dash where the data do not define it."""
    return "–" if share is None else f"{100 * share:.1f}"
