// Parts that backbone, encoder and decoder share. Each takes its parameters by the names of the package's modules.

import { add, relu, softmax, tensor } from "./tensor.js";

const EPS = 1e-5; // PyTorch's, of every norm
const NUM_GROUPS = 32; // of the group norm; published code, the paper does not name it

/** (rows, in) → (rows, out). */
export class Linear {
  constructor(parameters, matmul, inChannels, outChannels) {
    const weight = parameters.get("weight", [outChannels, inChannels]);
    this.forward = matmul.linear(weight, parameters.get("bias", [outChannels]));
  }
}

/** Every row: mean 0 and variance 1, then scale and shift of each channel. */
export class LayerNorm {
  constructor(parameters, channels) {
    this.weight = parameters.get("weight", [channels]);
    this.bias = parameters.get("bias", [channels]);
  }

  forward(x) {
    const [rows, channels] = x.shape;
    const normed = tensor(x.shape);
    for (let row = 0; row < rows; row++) {
      const start = row * channels;
      let mean = 0;
      let variance = 0;
      for (let i = 0; i < channels; i++) mean += x[start + i] / channels;
      for (let i = 0; i < channels; i++) variance += (x[start + i] - mean) ** 2 / channels;
      const scale = 1 / Math.sqrt(variance + EPS);
      for (let i = start, channel = 0; channel < channels; i++, channel++) {
        normed[i] = (x[i] - mean) * scale * this.weight[channel] + this.bias[channel];
      }
    }
    return normed;
  }
}

/** The same over all pixels of a map and the channels of one group, (pixels, channels). */
export class GroupNorm {
  constructor(parameters, channels) {
    this.weight = parameters.get("weight", [channels]);
    this.bias = parameters.get("bias", [channels]);
  }

  forward(x) {
    const [pixels, channels] = x.shape;
    const size = channels / NUM_GROUPS;
    const normed = tensor(x.shape);
    for (let first = 0; first < channels; first += size) {
      const overGroup = (visit) => {
        for (let pixel = 0; pixel < pixels; pixel++) {
          for (let channel = first; channel < first + size; channel++) visit(pixel * channels + channel, channel);
        }
      };
      let mean = 0;
      let variance = 0;
      overGroup((i) => (mean += x[i] / (pixels * size)));
      overGroup((i) => (variance += (x[i] - mean) ** 2 / (pixels * size)));
      const scale = 1 / Math.sqrt(variance + EPS);
      overGroup((i, channel) => (normed[i] = (x[i] - mean) * scale * this.weight[channel] + this.bias[channel]));
    }
    return normed;
  }
}

/** Two linear layers with a ReLU between them, on every token alone. */
export class FeedForward {
  constructor(parameters, matmul, config) {
    this.linear1 = new Linear(parameters.under("linear1"), matmul, config.d_model, config.d_ffn);
    this.linear2 = new Linear(parameters.under("linear2"), matmul, config.d_ffn, config.d_model);
  }

  forward(x) {
    return this.linear2.forward(relu(this.linear1.forward(x)));
  }
}

/** Dense attention: every query to every key. PyTorch keeps the three input projections in one matrix. */
export class DenseAttention {
  constructor(parameters, matmul, config) {
    const channels = config.d_model;
    const weight = parameters.get("in_proj_weight", [3 * channels, channels]);
    const bias = parameters.get("in_proj_bias", [3 * channels]);
    [this.queryProj, this.keyProj, this.valueProj] = [0, 1, 2].map((part) => {
      const rows = weight.slice(part * channels * channels, (part + 1) * channels * channels);
      return matmul.linear(tensor([channels, channels], rows), bias.slice(part * channels, (part + 1) * channels));
    });
    this.outProj = new Linear(parameters.under("out_proj"), matmul, channels, channels);
    this.heads = config.num_heads;
    this.edit = (weights) => weights; // the laboratory puts something else here, see laboratory/cuts.js
  }

  /**
   * query (Q, C); key and value (S, C); spatialShapes: of the levels, where the keys are an image's tokens. Returns
   * { output (Q, C), weights (M, Q, S) }: how much each query takes from each key.
   */
  forward(query, key, value, spatialShapes) {
    const weights = this.edit(this.weightsOf(query, key), spatialShapes);
    return { output: this.outProj.forward(this.read(weights, this.valueProj(value))), weights };
  }

  /** softmax over the keys of query · key / √(C / M), for each head. */
  weightsOf(query, key) {
    const [[queries, channels], [keys]] = [query.shape, key.shape];
    const dim = channels / this.heads;
    const [asking, offering] = [this.queryProj(query), this.keyProj(key)];
    const weights = tensor([this.heads, queries, keys]);
    for (let head = 0, row = 0; head < this.heads; head++) {
      for (let one = 0; one < queries; one++, row += keys) {
        const from = one * channels + head * dim;
        for (let other = 0, to = head * dim; other < keys; other++, to += channels) {
          let product = 0;
          for (let i = 0; i < dim; i++) product += asking[from + i] * offering[to + i];
          weights[row + other] = product / Math.sqrt(dim);
        }
        softmax(weights, row, keys);
      }
    }
    return weights;
  }

  /** The sum of the values by weight, (Q, C). */
  read(weights, values) {
    const [heads, queries, keys] = weights.shape;
    const channels = values.shape[1];
    const dim = channels / heads;
    const read = tensor([queries, channels]);
    const sum = new Float64Array(dim);
    for (let head = 0, row = 0; head < heads; head++) {
      for (let one = 0; one < queries; one++, row += keys) {
        sum.fill(0);
        for (let other = 0, to = head * dim; other < keys; other++, to += channels) {
          const weight = weights[row + other];
          for (let i = 0; i < dim; i++) sum[i] += weight * values[to + i];
        }
        read.set(sum, one * channels + head * dim);
      }
    }
    return read;
  }
}

/** The 3-layer perceptron that predicts how a reference has to move, (rows, 4) in logit space. */
export class BoxHead {
  constructor(parameters, matmul, config) {
    const sizes = [config.d_model, config.d_model, config.d_model, 4];
    this.layers = [0, 1, 2].map(
      (i) => new Linear(parameters.under(`layers.${i}`), matmul, sizes[i], sizes[i + 1]),
    );
  }

  forward(x) {
    const [first, second, last] = this.layers;
    return last.forward(relu(second.forward(relu(first.forward(x)))));
  }
}

/** x + what was read or worked out from it, normed: the end of every step of encoder and decoder (post-norm). */
export function addAndNorm(x, change, norm) {
  return norm.forward(add(x, change));
}
