// Linear layers: x · weightᵀ + bias for every row of x. Nearly all of a detector's multiplications are here, so this
// exists twice: in WebAssembly, four numbers at a time, and in JavaScript, for where that does not run.

import { tensor } from "./tensor.js";

const PANEL = 8; // columns that matmul.wat works on at a time
const ROWS = 4; // and rows
// Sums of float32 lose digits with their length, so they are built from short ones.
const CHUNK = 128;

/**
 * The faster one of the two that works here; its `name` says which: "simd" or "javascript".
 * kernel: the bytes of matmul.wat as assembler.py makes them, or null.
 */
export function chooseMatmul(kernel) {
  try {
    return new SimdMatmul(kernel);
  } catch {
    return new PlainMatmul(); // no WebAssembly, none with SIMD, or a page that forbids it
  }
}

/** In WebAssembly. Weights are copied into its memory once; what comes in and goes out is copied every time. */
export class SimdMatmul {
  constructor(kernel) {
    this.name = "simd";
    const { memory, multiply_add: multiplyAdd } = new WebAssembly.Instance(new WebAssembly.Module(kernel)).exports;
    this.memory = memory;
    this.multiplyAdd = multiplyAdd;
    this.end = 0; // of the weights, in numbers; room for one product begins there
  }

  /** All of the memory up to `end` as numbers. A memory that grows is another one, so nobody keeps this. */
  reach(end) {
    const missing = end * Float32Array.BYTES_PER_ELEMENT - this.memory.buffer.byteLength;
    if (missing > 0) this.memory.grow(Math.ceil(missing / 2 ** 16));
    return new Float32Array(this.memory.buffer);
  }

  /** weight (out, in), bias (out,) → a function from (rows, in) to (rows, out). */
  linear(weight, bias) {
    const [out, depth] = weight.shape;
    const columns = roundUp(out, PANEL);
    const packed = this.end;
    this.end += depth * columns;
    const numbers = this.reach(this.end);
    for (const [first, length] of chunks(depth)) {
      for (let column = 0; column < out; column++) {
        const panel = packed + first * columns + Math.floor(column / PANEL) * length * PANEL + (column % PANEL);
        for (let i = 0; i < length; i++) numbers[panel + i * PANEL] = weight[column * depth + first + i];
      }
    }
    return (x) => this.multiply(x, packed, bias, depth, columns);
  }

  multiply(x, packed, bias, depth, columns) {
    const rows = x.shape[0];
    const allRows = roundUp(rows, ROWS);
    const left = this.end;
    const product = left + allRows * depth;
    const numbers = this.reach(product + allRows * columns);
    numbers.set(x, left);
    numbers.fill(0, left + rows * depth, product);
    for (let row = 0; row < rows; row++) numbers.set(bias, product + row * columns);
    for (const [first, length] of chunks(depth)) {
      const right = packed + first * columns;
      const places = [4 * (left + first), 4 * depth, 4 * right, 4 * product]; // in bytes
      this.multiplyAdd(...places, allRows, length, columns);
    }
    const result = tensor([rows, bias.length]);
    for (let row = 0; row < rows; row++) {
      const start = product + row * columns;
      result.set(numbers.subarray(start, start + bias.length), row * bias.length);
    }
    return result;
  }
}

/** In JavaScript: two rows of x by four columns of the result at a time, so that each number read serves often. */
export class PlainMatmul {
  constructor() {
    this.name = "javascript";
  }

  linear(weight, bias) {
    const [out, depth] = weight.shape;
    const columns = roundUp(out, 4);
    // (columns / 4, depth, 4), in float64, which is what JavaScript multiplies.
    const packed = new Float64Array(depth * columns);
    for (let column = 0; column < out; column++) {
      const panel = (column - (column % 4)) * depth + (column % 4);
      for (let i = 0; i < depth; i++) packed[panel + 4 * i] = weight[column * depth + i];
    }
    return (x) => multiplyPlain(x, packed, bias, depth, columns);
  }
}

function multiplyPlain(x, packed, bias, depth, columns) {
  const rows = x.shape[0];
  const out = bias.length;
  const result = tensor([rows, out]);
  for (let column = 0; column < columns; column += 4) {
    for (let row = 0; row < rows; row += 2) {
      const upper = row * depth;
      const lower = row + 1 < rows ? upper + depth : upper; // an odd number of rows: the last one twice
      let upper0 = 0;
      let upper1 = 0;
      let upper2 = 0;
      let upper3 = 0;
      let lower0 = 0;
      let lower1 = 0;
      let lower2 = 0;
      let lower3 = 0;
      for (let i = 0, at = column * depth; i < depth; i++, at += 4) {
        const a = x[upper + i];
        const b = x[lower + i];
        upper0 += a * packed[at];
        lower0 += b * packed[at];
        upper1 += a * packed[at + 1];
        lower1 += b * packed[at + 1];
        upper2 += a * packed[at + 2];
        lower2 += b * packed[at + 2];
        upper3 += a * packed[at + 3];
        lower3 += b * packed[at + 3];
      }
      const sums = [upper0, upper1, upper2, upper3, lower0, lower1, lower2, lower3];
      for (let i = 0; i < Math.min(4, out - column); i++) {
        result[row * out + column + i] = sums[i] + bias[column + i];
        result[(lower / depth) * out + column + i] = sums[4 + i] + bias[column + i];
      }
    }
  }
  return result;
}

/** [first, length] of each chunk of a sum. */
function chunks(depth) {
  const list = [];
  for (let first = 0; first < depth; first += CHUNK) list.push([first, Math.min(CHUNK, depth - first)]);
  return list;
}

function roundUp(number, step) {
  return Math.ceil(number / step) * step;
}
