// Edits of images, and uploads by URL.
import assert from "node:assert/strict";
import { test } from "node:test";

import Cloudflare, { toFile } from "cloudflare";

import {
  newPicture, Service, unique, wantBlob, wantDelivered, wantImage, wantRefusal,
} from "./client.mjs";

// The SDK asks for it where Node.js 18 has not made it a global yet.
globalThis.File ??= (await import("node:buffer")).File;

async function create(service, picture, options = {}) {
  const file = await toFile(picture, "picture.jpg", { type: "image/jpeg" });
  return service.v1.create({ ...service.account, file, ...options });
}

// Changes an image field by field, and then makes it private, which gives it another id.
test("edit", async () => {
  const service = new Service();
  const edit = (id, options) => service.v1.edit(id, { ...service.account, ...options });
  const picture = newPicture();
  const before = await create(service, picture, { metadata: { old: "value" } });
  const want = { id: before.id, creator: `user ${unique()}`, metadata: { new: 5, list: [null] } };
  wantImage(await edit(want.id, { metadata: want.metadata, creator: want.creator }), want);
  wantImage(await edit(want.id, {}), want); // what is not given stays
  wantImage(await edit(want.id, { requireSignedURLs: false }), want);
  delete want.metadata;
  wantImage(await edit(want.id, { metadata: null }), want);
  want.creator = null;
  wantImage(await edit(want.id, { creator: "" }), want);

  const edited = await edit(want.id, { requireSignedURLs: true });
  assert.notEqual(edited.id, want.id, "the edited image is private under the old id");
  await wantRefusal(service, Cloudflare.NotFoundError, () => service.details(want.id));
  const image = await service.details(edited.id);
  wantImage(image, { ...want, id: edited.id, requireSignedURLs: true });
  assert.equal(image.uploaded, before.uploaded, "the time of the upload");
  await wantDelivered(image);
  await wantBlob(service, image.id, picture);
  for (const url of before.variants) {
    assert.equal((await fetch(url)).status, 404, "what was delivered under the old id");
  }
  await service.delete(image.id);
  service.finish();
});

// Has the service fetch a picture: from the service itself, which a program knows to be reachable.
test("upload by URL", async () => {
  const service = new Service();
  const source = await create(service, newPicture());
  assert.ok(source.variants.length > 0, "the image has no variants");
  const [url] = source.variants;
  const from = (url) =>
    service.v1.create({ ...service.account, url, metadata: { key: "value" } });
  const image = await from(url);
  wantImage(image, { id: image.id, metadata: { key: "value" } });
  assert.equal(image.filename, url.slice(url.lastIndexOf("/") + 1));
  assert.ok(!image.draft, "the image is still a draft after the upload");
  await wantDelivered(image);
  await wantRefusal(service, Cloudflare.BadRequestError,
    () => from("http://169.254.169.254/latest/meta-data/"));
  await wantRefusal(service, Cloudflare.BadRequestError,
    () => create(service, newPicture(), { url }));
  for (const { id } of [image, source]) await service.delete(id);
  service.finish();
});
