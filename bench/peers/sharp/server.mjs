// Usage: node server.mjs ADDRESS FOLDER
//
// An image server as short as sharp allows: GET /FORMAT/WIDTH/FILE answers with a file of FOLDER, at most WIDTH
// pixels wide. It has no cache, no limits and no sandbox.
//
// Environment: UV_THREADPOOL_SIZE (node's), the pictures at once; SHARP_CONCURRENCY, the threads of a picture.
import { createServer } from 'node:http';
import { basename, join } from 'node:path';
import sharp from 'sharp';

sharp.cache(false); // each request is for another picture
sharp.concurrency(Number(process.env.SHARP_CONCURRENCY ?? 1));

// The settings of internal/render/vips/encode.go.
const formats = {
  jpeg: (image) => image.jpeg({ quality: 85, progressive: true }),
  png: (image) => image.png({ compressionLevel: 6 }),
  webp: (image) => image.webp({ quality: 80, effort: 4 }),
  avif: (image) => image.avif({ quality: 64, effort: 2, chromaSubsampling: '4:2:0' }),
  'moving-webp': (image) => image.webp({ quality: 80, effort: 2 }),
};

const [address, folder] = process.argv.slice(2);

async function answer(request, response) {
  const [, format, width, file] = request.url.split('/');
  if (!formats[format]) return response.writeHead(404).end();
  const image = sharp(join(folder, basename(file)), { animated: format === 'moving-webp' })
    .autoOrient()
    // The decoder of a JPEG leaves a factor of 2 to the filter, as ours does.
    .resize({ width: Number(width), withoutEnlargement: true, fastShrinkOnLoad: false });
  const { data, info } = await formats[format](image).toBuffer({ resolveWithObject: true });
  response.writeHead(200, { 'Content-Type': `image/${info.format}`, 'Content-Length': data.length }).end(data);
}

const server = createServer((request, response) => {
  answer(request, response).catch((error) => response.writeHead(500).end(String(error)));
});
const [host, port] = address.split(':');
server.listen(Number(port), host);
