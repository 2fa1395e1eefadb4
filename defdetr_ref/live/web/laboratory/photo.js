// A photograph behind the shapes: read, refused if it is none or too large, and cut to the scene's size.

const LARGEST_BYTES = 25e6;
const LARGEST_SIDE = 12000; // px

/** A canvas of the scene's size with the middle of the photograph. Throws an Error, in one sentence. */
export async function readPhotograph(file, [height, width]) {
  const name = file.name || "The file";
  if (file.size > LARGEST_BYTES) {
    const megabytes = (file.size / 1e6).toFixed(0);
    throw new Error(`${name} has ${megabytes} MB; choose a photograph of at most ${LARGEST_BYTES / 1e6} MB.`);
  }
  const picture = await decoded(file, name);
  if (Math.max(picture.width, picture.height) > LARGEST_SIDE) {
    throw new Error(
      `${name} is ${picture.width} × ${picture.height} pixels; choose a photograph of at most ${LARGEST_SIDE} on a side.`,
    );
  }
  const canvas = Object.assign(document.createElement("canvas"), { height, width });
  const scale = Math.max(width / picture.width, height / picture.height);
  const [wide, high] = [picture.width * scale, picture.height * scale];
  const pen = canvas.getContext("2d");
  pen.imageSmoothingQuality = "high";
  pen.drawImage(picture, (width - wide) / 2, (height - high) / 2, wide, high);
  picture.close();
  return canvas;
}

async function decoded(file, name) {
  try {
    return await createImageBitmap(file);
  } catch {
    throw new Error(`${name} is not an image that this browser can read; choose a PNG, JPEG or WebP file.`);
  }
}
