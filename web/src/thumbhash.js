// A ThumbHash (evanw.github.io/thumbhash) is a handful of cosine coefficients of a picture: of
// brightness, of two colour differences and, if the picture has any, of opacity. The server makes
// it; this draws it, blurred as it is, until the picture itself is there.

// A channel is its average and the lower left triangle of its first nx * ny coefficients.
function channel(average, scale, nx, ny, nibble) {
  const terms = []
  for (let cy = 0; cy < ny; cy++) {
    for (let cx = cy ? 0 : 1; cx * ny < nx * (ny - cy); cx++) {
      terms.push([cx, cy, (nibble() / 7.5 - 1) * scale * 2])
    }
  }
  return (u, v) => terms.reduce((sum, [cx, cy, amount]) =>
    sum + amount * Math.cos(Math.PI * cx * u) * Math.cos(Math.PI * cy * v), average)
}

function channels(hash) {
  const head = hash[0] | hash[1] << 8 | hash[2] << 16
  const tail = hash[3] | hash[4] << 8
  const clear = head >> 23 & 1
  const wide = tail >> 15 & 1
  const most = clear ? 5 : 7
  const [lx, ly] = wide ? [most, tail & 7] : [tail & 7, most]
  let at = clear ? 12 : 10 // in half bytes
  const nibble = () => {
    const value = hash[at >> 1] >> (at & 1) * 4 & 15
    at++
    return value
  }
  return [
    channel((head & 63) / 63, (head >> 18 & 31) / 31, Math.max(3, lx), Math.max(3, ly), nibble),
    channel((head >> 6 & 63) / 31.5 - 1, (tail >> 3 & 63) / 63, 3, 3, nibble),
    channel((head >> 12 & 63) / 31.5 - 1, (tail >> 9 & 63) / 63, 3, 3, nibble),
    clear ? channel((hash[5] & 15) / 15, (hash[5] >> 4) / 15, 5, 5, nibble) : () => 1,
  ]
}

// draw fills a canvas, of any size, with the picture that a hash in base64 stands for.
export function draw(canvas, base64) {
  const hash = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))
  if (hash.length < 5) return
  const { width, height } = canvas
  const context = canvas.getContext('2d')
  const pixels = context.createImageData(width, height)
  const [light, yellow, red, opacity] = channels(hash)
  for (let y = 0, i = 0; y < height; y++) {
    for (let x = 0; x < width; x++, i += 4) {
      const [u, v] = [(x + 0.5) / width, (y + 0.5) / height]
      const [l, p, q] = [light(u, v), yellow(u, v), red(u, v)]
      const b = l - 2 / 3 * p
      const r = (3 * l - b + q) / 2
      // The array clamps to 0 to 255.
      pixels.data.set([r * 255, (r - q) * 255, b * 255, opacity(u, v) * 255], i)
    }
  }
  context.putImageData(pixels, 0, 0)
}
