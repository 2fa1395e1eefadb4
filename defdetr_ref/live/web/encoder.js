// The encoder: every pixel of every level is a query, and its reference point is itself (Sec. 4.1).

import { MultiScaleDeformableAttention } from "./attention.js";
import { addAndNorm, FeedForward, LayerNorm } from "./layers.js";
import { onEveryLevel } from "./positions.js";
import { add } from "./tensor.js";

/** Deformable self-attention over all levels, then a feed-forward network. */
class EncoderLayer {
  constructor(parameters, matmul, config) {
    this.attention = new MultiScaleDeformableAttention(parameters.under("attention"), matmul, config);
    this.attentionNorm = new LayerNorm(parameters.under("attention_norm"), config.d_model);
    this.ffn = new FeedForward(parameters.under("ffn"), matmul, config);
    this.ffnNorm = new LayerNorm(parameters.under("ffn_norm"), config.d_model);
    this.isCut = false; // then what comes in goes on unchanged, see laboratory/cuts.js
  }

  forward(x, tokens, references) {
    // Each token reads a few points of all levels around its own place. Places help to decide where to look, so the
    // query has them; the values stay without, because what is read is content.
    const read = this.attention.forward(add(x, tokens.positions), references, x, tokens.spatialShapes);
    const attended = addAndNorm(x, read.output, this.attentionNorm);
    // Feed-forward: each token for itself; attention only adds up, here what was read is worked on.
    const output = addAndNorm(attended, this.ffn.forward(attended), this.ffnNorm);
    return { references, locations: read.locations, weights: read.weights, output: this.isCut ? x : output };
  }
}

export class Encoder {
  constructor(parameters, matmul, config) {
    this.levels = config.num_levels;
    this.layers = Array.from(
      { length: config.encoder_layers },
      (_, i) => new EncoderLayer(parameters.under(`layers.${i}`), matmul, config),
    );
  }

  /** What each layer read and made: [{ references, locations, weights, output (S, C) }, …]; the last is the memory. */
  forward(tokens) {
    const references = onEveryLevel(tokens.centres, this.levels);
    let x = tokens.features;
    return this.layers.map((layer) => {
      const step = layer.forward(x, tokens, references);
      x = step.output;
      return step;
    });
  }
}
