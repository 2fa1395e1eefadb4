"""Checksums of every entry of a file of weights, and which entry is damaged.

A .pt file is a zip, which holds a CRC-32 of each record: PyTorch writes them and does not compare them when it reads.
Our .safetensors files hold a SHA-256 of each entry in their header.
"""

import hashlib
import json
import pickletools
import zipfile
from pathlib import Path, PurePosixPath

import torch
from torch import Tensor

METADATA = "__metadata__"  # its name in the header of a .safetensors file, so never that of a tensor


class CheckpointError(ValueError):
    """A file of weights that cannot be read, or does not fit the model."""


def damaged(path: Path, entry: str) -> CheckpointError:
    """The error for a file that is not what was written."""
    return CheckpointError(
        f"checkpoint {path} is damaged: {entry} differs from its checksum; copy or download the file again"
    )


def digest_of(tensor: Tensor) -> str:
    """SHA-256 of a tensor: its dtype, shape and bytes."""
    digest = hashlib.sha256(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
    digest.update(bytes_of(tensor))
    return digest.hexdigest()


def bytes_of(tensor: Tensor) -> memoryview:
    """A tensor's bytes in memory, row by row."""
    return memoryview(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())


def digests(tensors: dict[str, Tensor], metadata: dict[str, str]) -> str:
    """What the header of our .safetensors files holds as "digest": JSON, a SHA-256 for each entry and for the rest of
    the metadata."""
    rest = {key: value for key, value in metadata.items() if key != "digest"}
    found = {METADATA: hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}
    return json.dumps(found | {key: digest_of(tensor) for key, tensor in sorted(tensors.items())})


def verify_digests(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
    """Raises CheckpointError, naming the entry, if a .safetensors file differs from the digests in its header."""
    try:
        written = json.loads(metadata["digest"])
        found = json.loads(digests(tensors, metadata))
        differing = sorted(key for key in {*written, *found} if written.get(key) != found.get(key))
    except (KeyError, ValueError, AttributeError, TypeError):
        raise damaged(path, "the list of checksums itself") from None
    if METADATA in differing:
        raise damaged(path, "the metadata of its header")
    if differing:
        raise damaged(path, f"the entry {differing[0]!r}")


def verify_zip(path: Path) -> None:
    """Raises CheckpointError, naming the entry, if a record of a .pt file differs from its CRC-32.

    Files that PyTorch wrote before version 1.6 are no zip and hold no checksums; they pass.
    """
    if not zipfile.is_zipfile(path):
        return
    with zipfile.ZipFile(path) as archive:
        bad = archive.testzip()
        if bad is None:
            return
        record = PurePosixPath(bad)
        if record.parent.name == "data":  # archive/data/17 holds one tensor, archive/data.pkl says which
            table = archive.read(str(record.parents[1] / "data.pkl"))
            raise damaged(path, f"the entry {_names_of_records(table).get(record.name, record.name)!r}")
    raise damaged(path, f"its record {record.name!r}")


def _names_of_records(pickled: bytes) -> dict[str, str]:
    """Number of a record → the key under which a tensor of it is stored, for PyTorch's own protocol, 2.

    The pickle is listed, not run. A tensor is ("storage", class, number, device, size), and its key the last string
    before that; strings that occur again are fetched from the memo.
    """
    names: dict[str, str] = {}
    memo: dict[int, str] = {}
    strings: list[str] = []  # in the order in which they are pushed
    is_string = False  # what was pushed last, so what a memo would keep
    for operation, argument, _ in pickletools.genops(pickled):
        if "PUT" in operation.name:
            if is_string:
                memo[argument] = strings[-1]
            continue
        is_string = "UNICODE" in operation.name
        if is_string:
            strings.append(argument)
        elif "GET" in operation.name and argument in memo:
            strings.append(memo[argument])
        elif operation.name == "BINPERSID" and len(strings) > 3:
            key, _, number, _ = strings[-4:]
            names.setdefault(number, key)
    return names
