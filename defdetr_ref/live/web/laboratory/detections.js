// From a detector's answer to detections: label, score and box of the queries.

import { sigmoid } from "../boxes.js";
import { iou } from "./shapes.js";

const TOP_K = 100; // pairs of query and class that are judged, as `postprocess` takes them

/** Of each query in one decoder layer, counted from 0, its best class, score and box. */
export function detectionsOf(answer, layer, layers) {
  const prefix = layer === layers - 1 ? "" : `aux_outputs.${layer}.`;
  const [logits, boxes] = [answer[`${prefix}pred_logits`], answer[`${prefix}pred_boxes`]];
  const [queries, classes] = logits.shape;
  return Array.from({ length: queries }, (_, query) => {
    const ownLogits = logits.subarray(query * classes, (query + 1) * classes);
    const label = ownLogits.indexOf(Math.max(...ownLogits));
    const box = Array.from(boxes.subarray(4 * query, 4 * query + 4));
    return { query, label, score: sigmoid(ownLogits[label]), box };
  });
}

/** The best pairs of query and class of the last layer, best first: what AP is counted from. */
export function rankedPairs({ pred_logits: logits, pred_boxes: boxes }) {
  const classes = logits.shape[1];
  const order = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]);
  return order.slice(0, TOP_K).map((pair) => {
    const query = Math.floor(pair / classes);
    return { label: pair % classes, score: sigmoid(logits[pair]), box: boxes.subarray(4 * query, 4 * query + 4) };
  });
}

/** The query that a shape is found by: of those whose box fits it best, the surest. */
export function queryOf(detections, box) {
  const worth = ({ score, box: found }) => score * iou(found, box);
  return detections.reduce((best, each) => (worth(each) > worth(best) ? each : best));
}

/** The query whose box is most like another one, and if none overlaps it, the nearest. */
export function queryNear(detections, box) {
  const likeness = ({ box: [x, y, ...size] }) => {
    const overlap = iou([x, y, ...size], box);
    return overlap > 0 ? overlap : -Math.hypot(x - box[0], y - box[1]);
  };
  return detections.reduce((best, each) => (likeness(each) > likeness(best) ? each : best));
}
