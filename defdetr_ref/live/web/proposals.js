// Where the decoder's queries come from: learned embeddings, or the pixels themselves (two-stage). All return
// { content (Q, C), position (Q, C), reference (Q, 2 or 4) }; the two-stage variant also what its first stage found.

import { refineBoxes, sigmoid } from "./boxes.js";
import { BoxHead, LayerNorm, Linear } from "./layers.js";
import { embedBoxes, proposalBoxes } from "./positions.js";
import { splitColumns, tensor } from "./tensor.js";

const PAPER_INITIAL_SIDE = 0.1; // appendix A.4: width and height of the boxes before the first refinement

/** Object queries that are parameters: half of an embedding is position, half is content (Sec. 4.1). */
export class LearnedQueries {
  constructor(parameters, matmul, config) {
    this.embedding = parameters.under("embedding").get("weight", [config.num_queries, 2 * config.d_model]);
    this.referencePoints = new Linear(parameters.under("reference_points"), matmul, config.d_model, 2);
  }

  forward() {
    const [position, content] = splitColumns(this.embedding);
    return { content, position, reference: this.initialReference(position) };
  }

  /** Points (Q, 2), the sigmoid of a linear projection of the position half; a size is left to the box head. */
  initialReference(position) {
    const points = this.referencePoints.forward(position);
    return tensor(points.shape, points.map(sigmoid));
  }
}

/** The paper's starting box: centre = the reference point, width = height = 0.1 of the image (appendix A.4). */
export class LearnedQueriesWithBoxes extends LearnedQueries {
  initialReference(position) {
    const points = super.initialReference(position);
    const boxes = tensor([points.shape[0], 4]).fill(PAPER_INITIAL_SIDE);
    for (let i = 0; i < points.shape[0]; i++) boxes.set(points.subarray(2 * i, 2 * i + 2), 4 * i);
    return boxes;
  }
}

/** The first stage (appendix A.4): every pixel proposes a box, and the best `num_queries` become object queries. */
export class TwoStageQueries {
  constructor(parameters, matmul, config) {
    const { d_model: channels } = config;
    this.numQueries = config.num_queries;
    this.memoryProj = new Linear(parameters.under("memory_proj"), matmul, channels, channels);
    this.memoryNorm = new LayerNorm(parameters.under("memory_norm"), channels);
    this.classHead = new Linear(parameters.under("class_head"), matmul, channels, config.num_classes);
    this.boxHead = new BoxHead(parameters.under("box_head"), matmul, config);
    this.queryProj = new Linear(parameters.under("query_proj"), matmul, 2 * channels, 2 * channels);
    this.queryNorm = new LayerNorm(parameters.under("query_norm"), 2 * channels);
  }

  /** As of `LearnedQueries`, and `proposals`: { logits (S, classes), boxes (S, 4), chosen (Q,) tokens, best first }. */
  forward(memory, tokens) {
    const [count, channels] = memory.shape;
    if (count < this.numQueries) {
      throw new RangeError(
        `the first stage has to choose ${this.numQueries} proposals, but the image gives only ${count} tokens; use a ` +
          "larger image",
      );
    }
    const { logits, boxes } = this.propose(memory, tokens);
    const classes = logits.shape[1];
    const order = Array.from({ length: count }, (_, token) => token);
    order.sort((a, b) => logits[b * classes] - logits[a * classes]); // only channel 0 ranks, in the published code
    const chosen = Float32Array.from(order.slice(0, this.numQueries));
    const reference = tensor([this.numQueries, 4]);
    chosen.forEach((token, i) => reference.set(boxes.subarray(4 * token, 4 * token + 4), 4 * i));
    const embedding = this.queryNorm.forward(this.queryProj.forward(embedBoxes(reference, channels / 2)));
    const [position, content] = splitColumns(embedding);
    return { content, position, reference, proposals: { logits, boxes, chosen: tensor([this.numQueries], chosen) } };
  }

  /** Score and box of every token. Unusable ones read a zero memory and predict the box (1, 1, 1, 1). */
  propose(memory, tokens) {
    const { boxes, usable } = proposalBoxes(tokens.centres, tokens.spatialShapes);
    const channels = memory.shape[1];
    const masked = tensor(memory.shape, memory.slice());
    usable.forEach((is, token) => is || masked.fill(0, token * channels, (token + 1) * channels));
    const features = this.memoryNorm.forward(this.memoryProj.forward(masked));
    const corrected = refineBoxes(boxes, this.boxHead.forward(features));
    usable.forEach((is, token) => is || corrected.fill(1, 4 * token, 4 * token + 4));
    return { logits: this.classHead.forward(features), boxes: corrected };
  }
}
