"""What a file of results says about where it comes from."""

import importlib.metadata
import platform

import torch

from defdetr_ref.provenance import PACKAGES, machine, processor_name, versions


def test_versions_are_those_installed():
    found = versions()
    assert found["python"] == platform.python_version() and found["torch"] == importlib.metadata.version("torch")
    assert set(found) == {"python", *PACKAGES}


def test_the_machine_names_its_threads_and_device():
    found = machine("somewhere")
    assert found["torch_threads"] == torch.get_num_threads() and found["device"] == "somewhere"
    assert found["processor"] and found["cpu_count"] >= 1


def test_a_gpu_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Fast Card")
    assert machine("cuda")["gpu"] == "Fast Card" and "gpu" not in machine()


def test_the_processor_is_read_from_linux(tmp_path):
    cpu_info = tmp_path / "cpuinfo"
    cpu_info.write_text(
        "vendor_id\t: maker\nmodel name\t: Fast One 9000\nmodel name\t: Fast One 9000\n", encoding="utf-8"
    )
    assert processor_name(cpu_info) == "Fast One 9000"
    assert processor_name(tmp_path / "none") != ""
