// SHA-256 (FIPS 180-4), by which a file of weights is checked. The browser's own exists only on pages that it calls
// secure, and a site of plain http is none.

const WORDS = 64; // rounds, and words that each block of 64 bytes is stretched to

/** The first 32 bits of the fractions of the roots of the first primes: the numbers that the standard takes. */
function fractionsOfRoots(root, count) {
  const primes = [];
  for (let n = 2; primes.length < count; n++) if (primes.every((prime) => n % prime)) primes.push(n);
  return Uint32Array.from(primes, (prime) => (root(prime) % 1) * 2 ** 32);
}

const ROUND_CONSTANTS = new Int32Array(fractionsOfRoots(Math.cbrt, WORDS).buffer);
const FIRST_STATE = fractionsOfRoots(Math.sqrt, 8);

/** The digest of several pieces of bytes, one after another, in hexadecimal digits. */
export function sha256(...pieces) {
  const length = pieces.reduce((sum, piece) => sum + piece.length, 0);
  const padded = new Uint8Array(Math.ceil((length + 9) / 64) * 64); // the message, a one, zeros, its length in bits
  let start = 0;
  for (const piece of pieces) {
    padded.set(piece, start);
    start += piece.length;
  }
  padded[length] = 0x80;
  const view = new DataView(padded.buffer);
  view.setUint32(padded.length - 8, Math.floor(length / 2 ** 29));
  view.setUint32(padded.length - 4, length << 3);

  const state = FIRST_STATE.slice();
  const words = new Int32Array(WORDS);
  for (let block = 0; block < padded.length; block += 64) {
    for (let i = 0; i < 16; i++) words[i] = view.getInt32(block + 4 * i);
    mix(state, words);
  }
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}

function mix(state, words) {
  for (let i = 16; i < WORDS; i++) {
    const early = words[i - 15];
    const late = words[i - 2];
    const sigma0 = turned(early, 7) ^ turned(early, 18) ^ (early >>> 3);
    const sigma1 = turned(late, 17) ^ turned(late, 19) ^ (late >>> 10);
    words[i] = words[i - 16] + sigma0 + words[i - 7] + sigma1;
  }
  let [a, b, c, d, e, f, g, h] = state;
  for (let i = 0; i < WORDS; i++) {
    const chosen = (e & f) ^ (~e & g);
    const majority = (a & b) ^ (a & c) ^ (b & c);
    const first = (h + (turned(e, 6) ^ turned(e, 11) ^ turned(e, 25)) + chosen + ROUND_CONSTANTS[i] + words[i]) | 0;
    const second = ((turned(a, 2) ^ turned(a, 13) ^ turned(a, 22)) + majority) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + first) | 0;
    d = c;
    c = b;
    b = a;
    a = (first + second) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((value, i) => (state[i] += value));
}

/** Bits that leave on the right come in on the left. */
function turned(word, bits) {
  return (word >>> bits) | (word << (32 - bits));
}
