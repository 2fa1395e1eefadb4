// The decoder: object queries look at the memory from their reference, and each layer predicts a box around it.

import { MultiScaleDeformableAttention } from "./attention.js";
import { refineBoxes } from "./boxes.js";
import { addAndNorm, BoxHead, DenseAttention, FeedForward, LayerNorm, Linear } from "./layers.js";
import { onEveryLevel } from "./positions.js";
import { add } from "./tensor.js";

/** Self-attention among the queries, deformable cross-attention to the memory, feed-forward. */
class DecoderLayer {
  constructor(parameters, matmul, config) {
    this.selfAttention = new DenseAttention(parameters.under("self_attention"), matmul, config);
    this.selfNorm = new LayerNorm(parameters.under("self_norm"), config.d_model);
    this.crossAttention = new MultiScaleDeformableAttention(parameters.under("cross_attention"), matmul, config);
    this.crossNorm = new LayerNorm(parameters.under("cross_norm"), config.d_model);
    this.ffn = new FeedForward(parameters.under("ffn"), matmul, config);
    this.ffnNorm = new LayerNorm(parameters.under("ffn_norm"), config.d_model);
    this.isCut = false; // then what comes in goes on unchanged to the next layer and to the heads
  }

  forward(content, position, references, memory, spatialShapes) {
    // The queries tell each other what they hold, so that no two answer for one object.
    const query = add(content, position);
    const told = this.selfAttention.forward(query, query, content);
    const among = addAndNorm(content, told.output, this.selfNorm);
    // The only place where a query sees the image: around its reference.
    const read = this.crossAttention.forward(add(among, position), references, memory, spatialShapes);
    const seen = addAndNorm(among, read.output, this.crossNorm);
    // Each query for itself turns what it has read into what the heads can read off.
    const output = addAndNorm(seen, this.ffn.forward(seen), this.ffnNorm);
    const { locations, weights } = read;
    return { references, selfWeights: told.weights, locations, weights, output: this.isCut ? content : output };
  }
}

/** All layers predict around the same reference (the plain model of Sec. 4.1). */
export class Decoder {
  constructor(parameters, matmul, config) {
    this.levels = config.num_levels;
    const each = (build) => Array.from({ length: config.decoder_layers }, (_, i) => build(i));
    this.layers = each((i) => new DecoderLayer(parameters.under(`layers.${i}`), matmul, config));
    this.classHeads = each(
      (i) => new Linear(parameters.under(`class_heads.${i}`), matmul, config.d_model, config.num_classes),
    );
    this.boxHeads = each((i) => new BoxHead(parameters.under(`box_heads.${i}`), matmul, config));
  }

  /** What each layer read and made, and its prediction: [{ …, output (Q, C), logits, boxes (Q, 4) }, …]. */
  forward(queries, memory, spatialShapes) {
    let { content, reference } = queries;
    return this.layers.map((layer, i) => {
      const references = onEveryLevel(reference, this.levels);
      const step = layer.forward(content, queries.position, references, memory, spatialShapes);
      content = step.output;
      const boxes = refineBoxes(reference, this.boxHeads[i].forward(content));
      reference = this.nextReference(reference, boxes);
      return { ...step, logits: this.classHeads[i].forward(content), boxes };
    });
  }

  nextReference(reference) {
    return reference;
  }
}

/** Iterative box refinement (appendix A.4): each layer corrects the box of the one before. */
export class RefiningDecoder extends Decoder {
  nextReference(reference, boxes) {
    return boxes;
  }
}
