"""A disk that is full: one sentence, and nothing half-written is left."""

import errno

import pytest
import torch

from defdetr_ref import checkpoints
from defdetr_ref.weight_files.writing import size_in_memory
from tests.small_models import small_model

LIMIT = 200_000  # bytes; the model below is larger


@pytest.fixture
def files_are_limited():
    """Every file of this process ends at LIMIT, as on a disk that is full: to write more is an OSError."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LIMIT, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


WRITERS = {
    "run/last.pt": checkpoints.save,
    "run/last.safetensors": checkpoints.save_safetensors,
    "run/last.pth": lambda path, model: checkpoints.save_as(model, path, layout="official"),
}


@pytest.mark.parametrize("name", WRITERS)
def test_no_room_is_one_sentence_and_leaves_nothing(tmp_path, files_are_limited, name):
    model, path = small_model("refine"), tmp_path / name
    size = sum(tensor.nbytes for tensor in model.state_dict().values())
    assert size > 2 * LIMIT
    with pytest.raises(OSError, match=rf"there is no room for .*{path.name}: it needs {size / 1e6:.1f}\d* MB") as error:
        WRITERS[name](path, model)
    assert error.value.errno == errno.EFBIG and "\n" not in str(error.value) and "Errno" not in str(error.value)
    assert list(path.parent.iterdir()) == []


def test_what_was_there_before_is_unchanged(tmp_path, request):
    path = tmp_path / "last.pt"
    checkpoints.save(path, small_model(), epoch=1)
    request.getfixturevalue("files_are_limited")
    with pytest.raises(OSError, match="there is no room"):
        checkpoints.save(path, small_model(), epoch=2)
    assert checkpoints.read(path)["epoch"] == 1 and [file.name for file in tmp_path.iterdir()] == ["last.pt"]


def test_another_failure_keeps_its_own_words(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(FileExistsError):
        checkpoints.save(tmp_path / "file" / "last.pt", small_model("single"))


def test_memory_that_is_shared_counts_once():
    tensor = torch.zeros(3, 5)
    assert size_in_memory({"a": tensor, "b": [tensor[1:], (torch.zeros(2, dtype=torch.int64), 7)]}) == 60 + 16
