// DETR (Carion et al., 2020), to compare with: every token attends to every token, and a query to all of them. Backbone
// and pyramid are shared with Deformable DETR. A query has no reference: its box is predicted from nothing.

import { sigmoid } from "./boxes.js";
import { Detector } from "./detector.js";
import { addAndNorm, BoxHead, DenseAttention, FeedForward, LayerNorm, Linear } from "./layers.js";
import { add, tensor } from "./tensor.js";

/** Self-attention of all tokens, then a feed-forward network. */
class DenseEncoderLayer {
  constructor(parameters, matmul, config) {
    this.attention = new DenseAttention(parameters.under("attention"), matmul, config);
    this.attentionNorm = new LayerNorm(parameters.under("attention_norm"), config.d_model);
    this.ffn = new FeedForward(parameters.under("ffn"), matmul, config);
    this.ffnNorm = new LayerNorm(parameters.under("ffn_norm"), config.d_model);
    this.isCut = false; // as of the deformable layers
  }

  forward(x, tokens) {
    // Places are all that says which tokens are near, so query and key have them; values are content.
    const place = add(x, tokens.positions);
    const read = this.attention.forward(place, place, x, tokens.spatialShapes);
    const attended = addAndNorm(x, read.output, this.attentionNorm);
    const output = addAndNorm(attended, this.ffn.forward(attended), this.ffnNorm);
    return { denseWeights: read.weights, output: this.isCut ? x : output };
  }
}

/** Self-attention among the queries, attention over all tokens, feed-forward. */
class DenseDecoderLayer {
  constructor(parameters, matmul, config) {
    this.selfAttention = new DenseAttention(parameters.under("self_attention"), matmul, config);
    this.selfNorm = new LayerNorm(parameters.under("self_norm"), config.d_model);
    this.crossAttention = new DenseAttention(parameters.under("cross_attention"), matmul, config);
    this.crossNorm = new LayerNorm(parameters.under("cross_norm"), config.d_model);
    this.ffn = new FeedForward(parameters.under("ffn"), matmul, config);
    this.ffnNorm = new LayerNorm(parameters.under("ffn_norm"), config.d_model);
    this.isCut = false;
  }

  forward(content, position, memory, tokens) {
    const query = add(content, position);
    const told = this.selfAttention.forward(query, query, content);
    const among = addAndNorm(content, told.output, this.selfNorm);
    // A query weighs every token of the image, and has to learn where its own are.
    const keys = add(memory, tokens.positions);
    const read = this.crossAttention.forward(add(among, position), keys, memory, tokens.spatialShapes);
    const seen = addAndNorm(among, read.output, this.crossNorm);
    const output = addAndNorm(seen, this.ffn.forward(seen), this.ffnNorm);
    return { selfWeights: told.weights, denseWeights: read.weights, output: this.isCut ? content : output };
  }
}

/** DETR with the pyramid's levels; see dense.py of the package. */
export class DetrBaseline extends Detector {
  constructor(config, parameters, matmul) {
    super(config, parameters, matmul);
    const { d_model: channels } = config;
    const each = (part, Layer) =>
      Array.from(
        { length: config[part] },
        (_, i) => new Layer(parameters.under(`${part}.${i}`), matmul, config),
      );
    this.encoder = { layers: each("encoder_layers", DenseEncoderLayer) };
    this.decoder = { layers: each("decoder_layers", DenseDecoderLayer) };
    this.position = parameters.under("query_positions").get("weight", [config.num_queries, channels]);
    this.decoderNorm = new LayerNorm(parameters.under("decoder_norm"), channels); // before the heads, at every layer
    this.classHead = new Linear(parameters.under("class_head"), matmul, channels, config.num_classes);
    this.boxHead = new BoxHead(parameters.under("box_head"), matmul, config);
  }

  detect(tokens) {
    let memory = tokens.features;
    const encoder = this.encoder.layers.map((layer) => {
      const step = layer.forward(memory, tokens);
      memory = step.output;
      return step;
    });
    const queries = { content: tensor(this.position.shape), position: this.position };
    let { content } = queries;
    const decoder = this.decoder.layers.map((layer) => {
      const step = layer.forward(content, this.position, memory, tokens);
      content = step.output;
      const normed = this.decoderNorm.forward(content);
      const boxes = this.boxHead.forward(normed);
      return { ...step, logits: this.classHead.forward(normed), boxes: tensor(boxes.shape, boxes.map(sigmoid)) };
    });
    return { encoder, queries, decoder };
  }
}
