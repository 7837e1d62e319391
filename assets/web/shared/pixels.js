// Small pictures on canvases: what the network sees, and what its layers make of it.

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim().split(/\s+/).map(Number);

export function bytes(base64) {
  return Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
}

// A picture of bytes, 0 paper and 255 ink.
export function showPixels(canvas, pixels, height, width) {
  const [paper, ink] = [colour("--paper"), colour("--ink")];
  paintGrid(canvas, height, width, (i) => mix(paper, ink, pixels ? pixels[i] / 255 : 0));
}

// A layer's output: each channel a tile, or the values of a vector as cells. 128 is zero.
export function showLayer(canvas, { channels, height, width }, values) {
  const [zero, low, high] = [colour("--paper"), colour("--low"), colour("--high")];
  const shade = (byte) => mix(zero, byte < 128 ? low : high, Math.abs(byte - 128) / 127);
  if (height * width === 1) {
    const columns = Math.min(channels, 50);
    const rows = Math.ceil(channels / columns);
    paintGrid(canvas, rows, columns, (i) => (i < channels ? shade(values[i]) : null));
    canvas.style.width = `${columns * (channels <= 20 ? 20 : 7)}px`;
    return;
  }
  const columns = columnsFor(channels);
  const rows = Math.ceil(channels / columns);
  const [tileHeight, tileWidth] = [height + 1, width + 1]; // a gap between tiles
  const [gridHeight, gridWidth] = [rows * tileHeight - 1, columns * tileWidth - 1];
  paintGrid(canvas, gridHeight, gridWidth, (i) => {
    const [y, x] = [Math.floor(i / gridWidth), i % gridWidth];
    const channel = Math.floor(y / tileHeight) * columns + Math.floor(x / tileWidth);
    const [row, column] = [y % tileHeight, x % tileWidth];
    if (row === height || column === width || channel >= channels) return null;
    return shade(values[(channel * height + row) * width + column]);
  });
  canvas.style.width = `${Math.min(340, gridWidth * Math.max(1, Math.floor(340 / gridWidth)))}px`;
}

// Whole rows if possible, about twice as wide as high.
function columnsFor(channels) {
  const wanted = Math.sqrt(channels * 2);
  for (let columns = Math.floor(wanted * 1.5); columns > wanted / 1.6; columns--) if (channels % columns === 0) return columns;
  return Math.ceil(wanted);
}

function mix(from, to, share) {
  return from.map((channel, i) => channel + (to[i] - channel) * share);
}

function paintGrid(canvas, height, width, shade) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  for (let i = 0; i < height * width; i++) {
    const rgb = shade(i);
    if (rgb) image.data.set([...rgb, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}
