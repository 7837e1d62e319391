// From a drawing to the form of the data, as MNIST was made: the box of 20 pixels in a frame of 28, area-resampled with its
// shape kept, and moved by whole pixels so that the centre of mass is in the middle. As src/predict/frame.rs.

// Width of a stroke as a share of the digit's longer side, least and most, in MNIST. As src/predict/strokes.rs.
export const STROKE = [0.09, 0.19];
const EXTENT = 0.1; // less ink than this is not part of the digit's extent

// `canvas` is black on white. Bytes [height][width], 0 paper and 255 ink; null for a blank sheet.
export function framed(canvas, height, width) {
  const ink = inkOf(canvas);
  const box = bounds(ink, canvas.width, canvas.height);
  if (!box) return null;
  const [left, top, right, bottom] = box;
  const longest = Math.max(right - left, bottom - top);
  const side = Math.max(1, Math.floor((Math.min(height, width) * 20) / 28));
  const origin = [left - (longest - (right - left)) / 2, top - (longest - (bottom - top)) / 2];
  const boxed = resampled(ink, canvas.width, canvas.height, origin, longest, side);
  const strongest = boxed.reduce((a, b) => Math.max(a, b), 1e-6);
  const bytes = boxed.map((v) => Math.round((255 * v) / strongest));
  let [mass, x, y] = [0, 0, 0];
  bytes.forEach((v, i) => {
    mass += v;
    x += v * ((i % side) + 0.5);
    y += v * (Math.floor(i / side) + 0.5);
  });
  const offset = (centre, frame) => Math.floor(Math.min(Math.max(Math.floor(frame / 2) + 1 - centre, 0), frame - side));
  const [dx, dy] = [offset(x / mass, width), offset(y / mass, height)];
  const out = new Uint8Array(height * width);
  for (let row = 0; row < side; row++) out.set(bytes.slice(row * side, (row + 1) * side), (row + dy) * width + dx);
  return out;
}

function inkOf(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  return Float32Array.from({ length: data.length / 4 }, (_, i) => 1 - data[4 * i] / 255);
}

function bounds(ink, width, height) {
  let [left, top, right, bottom] = [width, height, 0, 0];
  ink.forEach((v, i) => {
    if (v <= EXTENT) return;
    const [x, y] = [i % width, Math.floor(i / width)];
    [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
    [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
  });
  return right ? [left, top, right, bottom] : null;
}

// The square from `origin`, `size` wide, as side x side means over the areas of its parts; nothing outside.
function resampled(ink, width, height, [originX, originY], size, side) {
  const shares = (origin, i, most) => {
    const [from, to] = [origin + (i * size) / side, origin + ((i + 1) * size) / side];
    const list = [];
    for (let p = Math.max(0, Math.floor(from)); p < Math.min(most, Math.ceil(to)); p++)
      list.push([p, ((Math.min(p + 1, to) - Math.max(p, from)) * side) / size]);
    return list;
  };
  const columns = Array.from({ length: side }, (_, i) => shares(originX, i, width));
  const rows = Array.from({ length: side }, (_, i) => shares(originY, i, height));
  return rows.flatMap((ys) =>
    columns.map((xs) => {
      let sum = 0;
      for (const [y, yShare] of ys) for (const [x, xShare] of xs) sum += yShare * xShare * ink[y * width + x];
      return sum;
    }),
  );
}
