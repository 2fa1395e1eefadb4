// Numbers with axes: a Float32Array, row by row, with its shape beside it, as `x.shape` in PyTorch.

/** A tensor of zeros, or of `data`, which it takes over. shape: [rows, columns] or any other number of axes. */
export function tensor(shape, data = new Float32Array(sizeOf(shape))) {
  data.shape = shape;
  return data;
}

export function sizeOf(shape) {
  return shape.reduce((product, length) => product * length, 1);
}

export function add(a, b) {
  const sum = tensor(a.shape);
  for (let i = 0; i < a.length; i++) sum[i] = a[i] + b[i];
  return sum;
}

export function relu(x) {
  const positive = tensor(x.shape);
  for (let i = 0; i < x.length; i++) positive[i] = x[i] > 0 ? x[i] : 0;
  return positive;
}

/** (rows, columns) of several tensors, one below the other. */
export function concatenate(parts) {
  const joined = tensor([parts.reduce((rows, part) => rows + part.shape[0], 0), ...parts[0].shape.slice(1)]);
  let start = 0;
  for (const part of parts) {
    joined.set(part, start);
    start += part.length;
  }
  return joined;
}

/** (rows, 2·columns) → its left half and its right half. */
export function splitColumns(x) {
  const [rows, both] = x.shape;
  const width = both / 2;
  const halves = [tensor([rows, width]), tensor([rows, width])];
  for (let row = 0; row < rows; row++) {
    const start = row * both;
    halves.forEach((half, i) => half.set(x.subarray(start + i * width, start + (i + 1) * width), row * width));
  }
  return halves;
}

/** Numbers in place → shares that sum to 1: softmax over `length` numbers from `start`. */
export function softmax(x, start, length) {
  let largest = -Infinity;
  let sum = 0;
  for (let i = start; i < start + length; i++) largest = Math.max(largest, x[i]);
  for (let i = start; i < start + length; i++) {
    x[i] = Math.exp(x[i] - largest); // at most 1, so that nothing overflows
    sum += x[i];
  }
  for (let i = start; i < start + length; i++) x[i] /= sum;
}
