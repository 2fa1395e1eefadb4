// The small residual network: an image → a feature map of each stride. Maps are (height, width, channels), so that the
// channels of one pixel lie together.

import { add, relu, tensor } from "./tensor.js";

const BATCH_NORM_EPS = 1e-5;
const CHANNELS = { 2: 24, 4: 48, 8: 96, 16: 192, 32: 256 }; // stride → channels
const STRIP = 2 ** 21; // numbers that are unfolded at a time: 8 MB, however large the image

/**
 * A convolution with padding size / 2, as a linear layer: the window around each place, unfolded into a row, times the
 * kernels.
 * weight: (out, in, size, size) as PyTorch has it; bias: (out,).
 */
export class Convolution {
  constructor(matmul, weight, bias, stride) {
    const [out, channels, size] = weight.shape;
    this.size = size;
    this.stride = stride;
    const kernels = tensor([out, size * size * channels]);
    for (let i = 0, to = 0; i < out; i++) {
      for (let place = 0; place < size * size; place++) {
        for (let channel = 0; channel < channels; channel++, to++) {
          kernels[to] = weight[(i * channels + channel) * size * size + place];
        }
      }
    }
    this.outChannels = out;
    this.linear = matmul.linear(kernels, bias);
  }

  forward(map) {
    const [height, width] = map.shape.slice(0, 2).map((length) => Math.ceil(length / this.stride));
    const result = tensor([height, width, this.outChannels]);
    const rowLength = width * this.size ** 2 * map.shape[2];
    const rows = Math.max(1, Math.floor(STRIP / rowLength)); // of the result, at a time
    for (let row = 0; row < height; row += rows) {
      const strip = this.linear(this.unfold(map, row, Math.min(rows, height - row), width));
      result.set(strip, row * width * this.outChannels);
    }
    return result;
  }

  /** The windows of some rows of the result, (rows · width, size · size · channels); zeros where they leave the map. */
  unfold(map, firstRow, rows, width) {
    const [height, inWidth, channels] = map.shape;
    const { size, stride } = this;
    const reach = Math.floor(size / 2);
    const windows = tensor([rows * width, size * size * channels]);
    let to = 0;
    for (let row = firstRow; row < firstRow + rows; row++) {
      for (let column = 0; column < width; column++) {
        for (let down = 0; down < size; down++) {
          const y = row * stride + down - reach;
          for (let right = 0; right < size; right++, to += channels) {
            const x = column * stride + right - reach;
            if (y < 0 || y >= height || x < 0 || x >= inWidth) continue;
            const from = (y * inWidth + x) * channels;
            for (let i = 0; i < channels; i++) windows[to + i] = map[from + i];
          }
        }
      }
    }
    return windows;
  }
}

/**
 * Convolution and batch norm as one convolution: with fixed statistics the norm is a scale and a shift of each channel,
 *     scale = weight / √(variance + eps),  shift = bias - mean · scale.
 */
function normedConvolution(matmul, convolution, norm, [inChannels, outChannels, size], stride) {
  const kernels = convolution.get("weight", [outChannels, inChannels, size, size]);
  const [weight, bias, mean, variance] = ["weight", "bias", "running_mean", "running_var"].map((name) =>
    norm.get(name, [outChannels]),
  );
  const scale = Array.from(weight, (value, i) => value / Math.sqrt(variance[i] + BATCH_NORM_EPS));
  const kernelSize = kernels.length / outChannels;
  const scaled = tensor(kernels.shape);
  for (let channel = 0, i = 0; channel < outChannels; channel++) {
    for (let end = i + kernelSize; i < end; i++) scaled[i] = kernels[i] * scale[channel];
  }
  const shift = bias.map((value, i) => value - mean[i] * scale[i]);
  return new Convolution(matmul, scaled, shift, stride);
}

/** Two 3×3 convolutions with a shortcut. */
class BasicBlock {
  constructor(parameters, matmul, inChannels, outChannels, stride) {
    const normed = (convolution, norm, sizes, step) =>
      normedConvolution(matmul, parameters.under(convolution), parameters.under(norm), sizes, step);
    this.conv1 = normed("conv1", "bn1", [inChannels, outChannels, 3], stride);
    this.conv2 = normed("conv2", "bn2", [outChannels, outChannels, 3], 1);
    this.shortcut = normed("shortcut.0", "shortcut.1", [inChannels, outChannels, 1], stride);
  }

  forward(map) {
    const inner = relu(this.conv1.forward(map));
    return relu(add(this.conv2.forward(inner), this.shortcut.forward(map)));
  }
}

/** One block for each halving of the image, up to the coarsest stride that is asked for. */
export class SmallResNet {
  constructor(parameters, matmul, config) {
    this.strides = config.feature_strides;
    this.channels = this.strides.map((stride) => CHANNELS[stride]);
    const stem = parameters.under("stem");
    this.stem = normedConvolution(matmul, stem.under("0"), stem.under("1"), [3, CHANNELS[2], 3], 2);
    this.stages = new Map();
    for (let stride = 4; stride <= this.strides.at(-1); stride *= 2) {
      const stage = parameters.under(`stages.${stride}`);
      this.stages.set(stride, new BasicBlock(stage, matmul, CHANNELS[stride / 2], CHANNELS[stride], 2));
    }
  }

  /** image (H, W, 3), normalised → Map of stride to (H/stride, W/stride, channels), of all strides from 2. */
  forward(image) {
    let map = relu(this.stem.forward(image));
    const maps = new Map([[2, map]]);
    for (const [stride, stage] of this.stages) {
      map = stage.forward(map);
      maps.set(stride, map);
    }
    return maps;
  }
}
