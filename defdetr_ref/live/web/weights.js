// A file of weights, as `defdetr_ref.live.export_weights` writes it: a .safetensors file, that is 8 bytes with the
// length of a header, the header in JSON, and the numbers. Everything in it has a SHA-256 in the header, so that a file
// that was damaged on the way is never run. See checkpoints/ of the package, which reads the same files.

import { sha256 } from "./sha256.js";
import { sizeOf, tensor } from "./tensor.js";

const FORMAT = "defdetr-ref 1";
const METADATA = "__metadata__";
const SCALE = ".scale"; // name of the entry that holds the scales of another, which is int8
const LENGTH_BYTES = 8;
const AGAIN = "export it again, or copy or download it again";

// How dtypes are called in the header, and in the package's digests.
const DTYPES = {
  F32: { name: "torch.float32", bytes: 4, decode: (bytes) => new Float32Array(bytes.slice().buffer) },
  F16: { name: "torch.float16", bytes: 2, decode: (bytes) => fromHalf(new Uint16Array(bytes.slice().buffer)) },
  I8: { name: "torch.int8", bytes: 1, decode: (bytes) => new Float32Array(new Int8Array(bytes.slice().buffer)) },
  I64: { name: "torch.int64", bytes: 8, decode: (bytes) => fromWhole(new BigInt64Array(bytes.slice().buffer)) },
};

/**
 * What a file holds: the `modelClass` of its model, the `config` that it was built from, and its `parameters`.
 * bytes: a Uint8Array; modelClasses: the names of those that the page runs. Throws an Error, in one sentence, for a file
 * that is damaged, or of another kind or model.
 */
export function readWeights(bytes, modelClasses) {
  const { header, start } = readHeader(bytes);
  const { [METADATA]: metadata, ...entries } = header;
  if (metadata?.format !== FORMAT) {
    throw new Error(`weights: the file is not of the format ${quoted(FORMAT)}; write it by live.export_weights`);
  }
  const stored = readEntries(entries, bytes.subarray(start));
  verify(metadata, stored);
  const { model_class: modelClass } = metadata;
  if (!modelClasses.includes(modelClass)) {
    throw new Error(`weights: the file is of a ${modelClass}; the page runs a ${modelClasses.join(" or a ")}`);
  }
  const config = JSON.parse(metadata.config);
  if (config.backbone !== "small") {
    throw new Error(`weights: the model's backbone is ${quoted(config.backbone)}; the page runs "small" alone`);
  }
  return { modelClass, config, parameters: new Parameters(decodeAll(stored)) };
}

/** Tensors by name, and those of one part of the model: `parameters.under("encoder").under("layers.0")`. */
export class Parameters {
  constructor(tensors, prefix = "") {
    this.tensors = tensors;
    this.prefix = prefix;
  }

  under(name) {
    return new Parameters(this.tensors, `${this.prefix}${name}.`);
  }

  /** Throws an Error if the file has no tensor of that name and shape. */
  get(name, shape) {
    const found = this.tensors.get(this.prefix + name);
    if (found === undefined || String(found.shape) !== String(shape)) {
      const instead = found === undefined ? "has none" : `has one of shape (${found.shape.join(", ")})`;
      throw new Error(
        `weights: the config wants a tensor ${quoted(this.prefix + name)} of shape (${shape.join(", ")}), and the ` +
          `file ${instead}; ${AGAIN}`,
      );
    }
    return found;
  }
}

function readHeader(bytes) {
  if (bytes.length <= LENGTH_BYTES) throw new Error(`weights: the file has ${bytes.length} bytes alone; ${AGAIN}`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  const start = LENGTH_BYTES + length;
  if (bytes[LENGTH_BYTES] !== "{".charCodeAt(0)) {
    throw new Error("weights: this is no .safetensors file; write one by live.export_weights");
  }
  if (start > bytes.length) throw new Error(`weights: the file ends within its header; ${AGAIN}`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(LENGTH_BYTES, start));
    return { header: JSON.parse(text), start };
  } catch {
    throw damaged("its header is no JSON");
  }
}

/** Name → dtype, shape and bytes of each entry. */
function readEntries(entries, numbers) {
  const stored = new Map();
  let end = 0;
  for (const [name, { dtype, shape, data_offsets: offsets }] of Object.entries(entries)) {
    if (!Array.isArray(shape) || !Array.isArray(offsets)) throw damaged(`${quoted(name)} has no shape or no place`);
    if (!(dtype in DTYPES)) {
      const known = Object.keys(DTYPES).join(", ");
      throw new Error(`weights: ${quoted(name)} is stored as ${dtype}; the page reads ${known}: ${AGAIN}`);
    }
    const [first, last] = offsets;
    if (last - first !== sizeOf(shape) * DTYPES[dtype].bytes) throw damaged(`the shape of ${quoted(name)} is another`);
    if (last > numbers.length) throw new Error(`weights: the file ends before ${quoted(name)} does; ${AGAIN}`);
    stored.set(name, { dtype: DTYPES[dtype], shape, bytes: numbers.subarray(first, last) });
    end = Math.max(end, last);
  }
  if (end !== numbers.length) throw damaged("it goes on after its last entry");
  return stored;
}

/** Compare every entry, and the metadata, with the digests that were written with them. */
function verify(metadata, stored) {
  const { digest, ...rest } = metadata;
  let written = null;
  try {
    written = new Map(Object.entries(JSON.parse(digest)));
  } catch {
    throw damaged("the list of checksums is no JSON");
  }
  const text = (words) => new TextEncoder().encode(words);
  if (written.get(METADATA) !== sha256(text(asPythonWrites(rest)))) throw damaged("its metadata differ from their checksum");
  for (const [name, { dtype, shape, bytes }] of stored) {
    const tuple = shape.length === 1 ? `(${shape},)` : `(${shape.join(", ")})`;
    if (written.get(name) !== sha256(text(`${dtype.name} ${tuple}`), bytes)) {
      throw damaged(`${quoted(name)} differs from its checksum`);
    }
  }
  const missing = [...written.keys()].find((name) => name !== METADATA && !stored.has(name));
  if (missing !== undefined) throw damaged(`${quoted(missing)} is missing`);
}

/** Strings by name in the JSON of Python's json.dumps(…, sort_keys=True), of which the digest was taken. */
function asPythonWrites(strings) {
  const escaped = (text) =>
    JSON.stringify(text).replace(/[^ -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, "0")}`);
  const pairs = Object.keys(strings).sort().map((key) => `${escaped(key)}: ${escaped(strings[key])}`);
  return `{${pairs.join(", ")}}`;
}

/** Name → tensor in float32. Whole numbers from -127 to 127 are multiplied by the scale of their output channel. */
function decodeAll(stored) {
  const tensors = new Map();
  for (const [name, { dtype, shape, bytes }] of stored) {
    if (name.endsWith(SCALE) && stored.has(name.slice(0, -SCALE.length))) continue;
    const numbers = tensor(shape, dtype.decode(bytes));
    const scales = stored.get(name + SCALE);
    if (scales !== undefined) {
      const size = numbers.length / shape[0]; // of a channel
      scales.dtype.decode(scales.bytes).forEach((scale, channel) => {
        for (let i = channel * size; i < (channel + 1) * size; i++) numbers[i] *= scale;
      });
    }
    tensors.set(name, numbers);
  }
  return tensors;
}

/** float16 → float32: a sign, 5 bits of exponent, 10 of fraction. */
function fromHalf(halves) {
  return Float32Array.from(halves, (half) => {
    const sign = half & 0x8000 ? -1 : 1;
    const exponent = (half >> 10) & 0x1f;
    const fraction = half & 0x3ff;
    return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
  });
}

function fromWhole(numbers) {
  return Float32Array.from(numbers, Number);
}

function damaged(how) {
  return new Error(`weights: the file is damaged: ${how}; ${AGAIN}`);
}

function quoted(name) {
  return JSON.stringify(name);
}
