"""Backbones: strides, torchvision's names, and ImageNet weights from a file."""

import pytest
import torch

from defdetr_ref.backbone import FrozenBatchNorm2d, ResNet50, build_backbone, load_imagenet


@pytest.mark.parametrize("name", ["resnet50", "small"])
def test_strides_and_channels(name):
    backbone = build_backbone(name, (4, 16, 32)).eval()
    maps = backbone(torch.randn(2, 3, 64, 97))
    assert [tuple(m.shape) for m in maps] == [
        (2, channels, 64 // stride, -(-97 // stride))
        for channels, stride in zip(backbone.channels, (4, 16, 32), strict=True)
    ]


def test_frozen_batch_norm_is_batch_norm_in_evaluation_mode():
    frozen, plain = FrozenBatchNorm2d(5), torch.nn.BatchNorm2d(5, eps=1e-5).eval()
    for tensor in (plain.weight.data, plain.bias.data, plain.running_mean):
        tensor.normal_()
    plain.running_var.uniform_(0.5, 2)
    frozen.load_state_dict(plain.state_dict())  # num_batches_tracked is dropped
    x = torch.randn(2, 5, 3, 4)
    torch.testing.assert_close(frozen.train()(x), plain(x))
    assert list(frozen.parameters()) == []


def imagenet_file(path, **changes):
    state_dict = ResNet50().state_dict()
    assert len(state_dict) == 265
    state_dict |= {
        "bn1.num_batches_tracked": torch.tensor(7),
        "fc.weight": torch.zeros(1000, 2048),
        "fc.bias": torch.zeros(1000),
    }
    torch.save({key: t for key, t in (state_dict | changes).items() if t is not None}, path)
    return state_dict


def test_imagenet_weights_from_a_file(tmp_path):
    expected = imagenet_file(tmp_path / "resnet50.pth")
    backbone = ResNet50()
    load_imagenet(backbone, tmp_path / "resnet50.pth")
    assert all(torch.equal(tensor, expected[key]) for key, tensor in backbone.state_dict().items())


def test_imagenet_weights_that_are_missing_or_wrong(tmp_path, monkeypatch):
    backbone = ResNet50()
    with pytest.raises(FileNotFoundError, match="nowhere.pth do not exist; download https://.*resnet50-0676ba61.pth"):
        load_imagenet(backbone, tmp_path / "nowhere.pth")
    imagenet_file(tmp_path / "part.pth", **{"layer4.2.conv3.weight": None})
    with pytest.raises(ValueError, match="keys that differ include .*layer4.2.conv3.weight"):
        load_imagenet(backbone, tmp_path / "part.pth")

    def no_network(*args, **kwargs):
        raise OSError("Name or service not known")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "home"))
    name = "resnet50-0676ba61.pth"
    message = f"fetch https://.*{name} on another machine and put it at .*home/hub/checkpoints/{name}"
    with pytest.raises(ConnectionError, match=message):
        load_imagenet(backbone)


def test_garbage_in_place_of_imagenet_weights_is_one_sentence(tmp_path, monkeypatch):
    backbone, path = ResNet50(), tmp_path / "resnet50.pth"
    before = {key: tensor.clone() for key, tensor in backbone.state_dict().items()}
    imagenet_file(path)
    good = path.read_bytes()
    weight = torch.load(path, weights_only=True)["layer4.2.conv3.weight"]
    place = good.index(weight.numpy().tobytes()[:64])  # where an entry lies depends on the version of PyTorch
    files = {
        "truncated or not a checkpoint|damaged": b"\0 no checkpoint",
        "truncated or not a checkpoint": good[:-900],
        r"damaged: the entry 'layer4\.2\.conv3\.weight'": good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :],
    }
    for words, content in files.items():
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"resnet50\.pth.*({words})") as error:
            load_imagenet(backbone, path)
        assert "\n" not in str(error.value)
    for changes, words in (
        ({"layer1.0.bn1.bias": torch.zeros(3)}, r"keys that differ include \['layer1\.0\.bn1\.bias'\]"),
        ({"layer1.0.bn1.bias": 3}, r"keys that differ include \['layer1\.0\.bn1\.bias'\]"),
        ({7: torch.zeros(3)}, r"keys that differ include \['7'\]"),
        ({"layer1.0.bn1.bias": torch.full((64,), torch.nan)}, r"NaN or infinity in layer1\.0\.bn1\.bias"),
    ):
        torch.save(before | changes, path)
        with pytest.raises(ValueError, match=words):
            load_imagenet(backbone, path)
    torch.save([1, 2], path)
    with pytest.raises(ValueError, match="holds a list, not a state dict"):
        load_imagenet(backbone, path)
    assert all(torch.equal(tensor, before[key]) for key, tensor in backbone.state_dict().items())

    def cut_short(*args, **kwargs):
        raise EOFError

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", cut_short)
    with pytest.raises(ValueError, match="resnet50-0676ba61.pth are damaged; delete that file"):
        load_imagenet(backbone)


def test_names_and_strides_that_do_not_exist():
    with pytest.raises(ValueError, match="unknown backbone 'resnet18'; choose from resnet50, small"):
        build_backbone("resnet18", (8, 16))
    with pytest.raises(ValueError, match=r"feature_strides \(16, 8\) must rise"):
        build_backbone("small", (16, 8))
