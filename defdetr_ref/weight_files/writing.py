"""Writing files of weights, each whole or not at all."""

import errno
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from defdetr_ref.weight_files.integrity import METADATA, CheckpointError, bytes_of, digests
from defdetr_ref.weight_files.quantisation import quantise

FORMAT = "defdetr-ref 1"
OWN_ENTRIES = ("format", "model_class", "config", "model")  # of our files; whatever else they hold are notes
NO_ROOM = (errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC))  # disk, file size and quota
ALIGNMENT = 8  # bytes; tensors in a .safetensors file begin at multiples of it
# How PyTorch's dtypes are called in a .safetensors file.
SAFETENSORS_DTYPES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def save(path: str | os.PathLike, model: nn.Module, **extra) -> None:
    """Write model, config and `extra` (tensors, numbers, strings, lists and dicts) to `path`, whole or not at all."""
    _check_names(extra)
    content = {**description_of(model), "model": model.state_dict(), **extra}
    write_pickled(Path(path), content)


def save_safetensors(path: str | os.PathLike, model: nn.Module, *, dtype: torch.dtype | None = None, **notes) -> None:
    """Write model, config and `notes` to `path` as .safetensors, whole or not at all. The same model and notes give
    the same bytes.

    path: whose name should end in .safetensors, by which `read` knows the format
    model: whose config and weights are stored
    dtype: torch.float16 or torch.bfloat16 stores floating-point weights in half the space, torch.int8 in a quarter,
        with a scale for each output channel; they are read back as float32. torch.float32 is for weights of another
        dtype; None stores them as they are
    notes: numbers, strings, lists and dicts with keys that are strings, or numbers without fractions; they are stored
        as JSON

    The header's metadata hold "format", "model_class", "config" and "notes" (JSON), and "digest" (JSON): a SHA-256 of
    each entry, and of the other metadata as "__metadata__".

    Raises ValueError for another dtype, for weights too large for it, and for notes that JSON would change.
    """
    _check_names(notes)
    tensors = model.state_dict()
    if dtype is not None:
        tensors = rounded(tensors, dtype)
    description = description_of(model)
    metadata = {
        "format": description["format"],
        "model_class": description["model_class"],
        "config": json.dumps(description["config"]),
        "notes": encode_notes(notes),
    }
    write_safetensors(Path(path), tensors, metadata)


def description_of(model: nn.Module) -> dict[str, Any]:
    """What our files say of a model: "format", "model_class" and "config"."""
    return {"format": FORMAT, "model_class": type(model).__name__, "config": asdict(model.config)}


def write_pickled(path: Path, content: dict[str, Any]) -> None:
    """`content` as PyTorch stores it, whole or not at all."""
    with replacing(path, size_in_memory(content)) as file:
        torch.save(content, file)


def write_safetensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """A .safetensors file with `metadata` and a "digest" in its header.

    Written here, because the library gives metadata an order of their own in each process, so that the same weights
    would be other bytes; and because its size is known before.
    """
    header: dict[str, Any] = {METADATA: dict(sorted({**metadata, "digest": digests(tensors, metadata)}.items()))}
    order = sorted(tensors, key=lambda key: (-tensors[key].element_size(), key))  # so that each is aligned
    end = 0
    for key in order:
        begin, end = end, end + tensors[key].nbytes
        header[key] = {
            "dtype": SAFETENSORS_DTYPES[tensors[key].dtype],
            "shape": list(tensors[key].shape),
            "data_offsets": [begin, end],
        }
    encoded = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    encoded += b" " * (-len(encoded) % ALIGNMENT)
    with replacing(path, len(encoded) + 8 + end) as file:
        file.write(len(encoded).to_bytes(8, "little"))
        file.write(encoded)
        for key in order:
            file.write(bytes_of(tensors[key]))


@contextmanager
def replacing(path: Path, size: int) -> Iterator[BinaryIO]:
    """A file to write to, which takes the place of `path` when the block ends well and is removed when it does not.

    Raises OSError, with one sentence, where there is no room for its `size` in bytes.
    """
    partial = path.with_name(path.name + ".partial")
    watched = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            watched = _Watched(file)
            yield watched
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)  # atomic: readers see the old file or the new one
    except BaseException as error:
        with suppress(OSError):
            partial.unlink()
        failure = getattr(watched, "failure", None) or error
        if isinstance(failure, OSError) and failure.errno in NO_ROOM:
            raise _no_room(path, size, failure) from None
        raise


class _Watched:
    """A file that remembers why writing failed: PyTorch says only that its position is not the expected one."""

    def __init__(self, file: BinaryIO):
        self.file = file
        self.failure: OSError | None = None

    def write(self, data: Any) -> int:
        """As of any file."""
        try:
            return self.file.write(data)
        except OSError as error:
            self.failure = error
            raise

    def flush(self) -> None:
        """As of any file."""
        self.file.flush()


def _no_room(path: Path, size: int, failure: OSError) -> OSError:
    free = shutil.disk_usage(path.parent).free
    error = OSError(
        f"there is no room for {path}: it needs {size / 1e6:.1f} MB, and {free / 1e6:.1f} MB are free "
        f"({os.strerror(failure.errno)}); make room or save elsewhere, what was there before is unchanged"
    )
    error.errno = failure.errno
    return error


def size_in_memory(content: Any) -> int:
    """Bytes of all tensors in dicts and lists, those that share memory counted once: nearly the size of their file."""
    storages: dict[int, int] = {}

    def add(value: Any) -> None:
        if isinstance(value, Tensor):
            storages[value.untyped_storage().data_ptr()] = value.untyped_storage().nbytes()
        elif isinstance(value, dict | list | tuple):
            for one in value.values() if isinstance(value, dict) else value:
                add(one)

    add(content)
    return sum(storages.values())


def decode_notes(text: str) -> dict[str, Any]:
    """Notes from their JSON. Its keys are strings: where all of a dict's are whole numbers, they were numbers."""

    def restored(pairs: list[tuple[str, Any]]) -> dict:
        is_number = all(key.removeprefix("-").isdecimal() for key, _ in pairs)
        return {int(key) if is_number else key: value for key, value in pairs}

    return json.loads(text, object_pairs_hook=restored)


def encode_notes(notes: dict[str, Any]) -> str:
    """Notes as JSON. Raises ValueError for one that would not come back as it was; tuples come back as lists."""
    for name, value in notes.items():
        try:
            changed = decode_notes(json.dumps({name: value}, allow_nan=False)) != {name: _with_lists(value)}
        except (TypeError, ValueError):
            changed = True
        if changed:
            raise ValueError(
                f"the note {name!r} cannot be stored as JSON; give numbers that are finite, strings, lists, and dicts "
                "with keys that are strings, or whole numbers"
            )
    return json.dumps(notes)


def _with_lists(value: Any) -> Any:
    """The same value with every tuple a list."""
    if isinstance(value, dict):
        return {key: _with_lists(one) for key, one in value.items()}
    return [_with_lists(one) for one in value] if isinstance(value, list | tuple) else value


def rounded(tensors: dict[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """Floating-point tensors in `dtype`. Raises ValueError for another dtype, and for what becomes infinite in it."""
    if dtype == torch.int8:
        return quantise(tensors)
    if dtype not in (torch.float16, torch.bfloat16, torch.float32):
        raise ValueError(
            f"dtype is {dtype}; weights are stored as torch.float16, torch.bfloat16, torch.int8, torch.float32 or, "
            "with None, as they are"
        )
    found = {key: tensor.to(dtype) if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    for key, tensor in tensors.items():
        if not torch.equal(tensor.isfinite(), found[key].isfinite()):
            raise ValueError(f"{key} holds numbers too large for {dtype}; keep the weights as they are")
    return found


def _check_names(notes: dict[str, Any]) -> None:
    taken = [name for name in OWN_ENTRIES if name in notes]
    if taken:
        raise CheckpointError(f"{taken[0]!r} is an entry of every checkpoint; call the note by another name")
