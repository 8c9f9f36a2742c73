// Usage: node pixels.mjs FILE
//
// Prints "WIDTH HEIGHT FRAMES", a line feed, and the pixels of a picture: 8 bits of sRGB and opacity, upright, the
// frames of an animation one below the other.
import sharp from 'sharp';

const file = process.argv[2];
const { pages = 1 } = await sharp(file).metadata();
const { data, info } = await sharp(file, { animated: pages > 1 })
  .autoOrient()
  .toColourspace('srgb')
  .ensureAlpha()
  .raw()
  .toBuffer({ resolveWithObject: true });
process.stdout.write(`${info.width} ${info.height / pages} ${pages}\n`);
process.stdout.write(data);
