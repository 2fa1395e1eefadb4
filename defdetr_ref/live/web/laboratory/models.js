// The detectors of the page: the first one, others to lay beside it, and earlier epochs of its training. Each is opened
// when it is wanted for the first time.

import { openDetector } from "../live.js";
import { applyCuts } from "./cuts.js";

export class Models {
  /**
   * described: [{ id, words [, epoch] }, …], the first model first; epochs are of its training.
   * bytes: a function from an id to { weights, kernel }, both Uint8Arrays.
   */
  constructor(described, bytes) {
    this.described = described;
    this.bytes = bytes;
    this.detectors = new Map();
    this.refused = new Map(); // id → the Error that its weights met
  }

  get ids() {
    return this.described.map(({ id }) => id);
  }

  /** The course of training: earlier epochs in order, then the first model. */
  get course() {
    const earlier = this.described.filter(({ epoch }) => epoch !== undefined);
    return [...earlier.sort((a, b) => a.epoch - b.epoch), this.described[0]];
  }

  wordsOf(id) {
    return this.described.find((each) => each.id === id).words;
  }

  /** The detector, if it has been wanted before; else null. */
  opened(id) {
    return this.detectors.get(id) ?? null;
  }

  keep(id, detector) {
    this.detectors.set(id, detector);
  }

  refuse(id, error) {
    this.refused.set(id, error);
  }

  /** Throws an Error in one sentence if its weights are damaged. */
  get(id) {
    if (this.refused.has(id)) throw this.refused.get(id);
    if (!this.detectors.has(id)) {
      try {
        const { weights, kernel } = this.bytes(id);
        this.keep(id, openDetector(weights, kernel));
      } catch (error) {
        this.refuse(id, error);
        throw error;
      }
    }
    return this.detectors.get(id);
  }

  /** The answer of a model from which something is cut. */
  look(id, cuts, pixels, [height, width]) {
    const detector = this.get(id);
    applyCuts(detector, cuts);
    return detector.forward(pixels, height, width);
  }
}
