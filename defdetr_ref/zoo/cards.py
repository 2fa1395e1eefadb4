"""Cards as text, for a terminal and for the site."""

from typing import Any

SHOWN = ("AP", "AP50", "AP_small", "AP_medium", "AP_large")  # where there is no room for all twelve


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
