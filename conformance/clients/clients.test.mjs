// Uses the service through clients of the Cloudflare Images API from npm, which are as published.
// They ask Cloudflare's hosts, which redirect.mjs replaces. The account is in the environment that
// calotype env prints. What a client says is compared with what the service says without it.
import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, test } from "node:test";
import { promisify } from "node:util";

import Davids from "@jvddavid/cloudflare-images";
import { CloudflareClient } from "cloudflare-images";
import { CloudflareImagesClient } from "cloudflare-images-client";
import Kit from "cloudflare-images-kit";
import express from "express";
import multer from "multer";
import { CloudflareStorage } from "multer-cloudflare-storage";
import { cloudflareImagesAdapter } from "payload-cloudflare-images-storage-adapter";
import strapiProvider from "strapi-provider-upload-cloudflare-images";

// The package names a file as its entry that it does not hold.
import { FetchError, ImagesClient } from "./node_modules/cloudflare-images-ts/dist/index.js";
import { takeAsked } from "./redirect.mjs";

const accountId = process.env.CLOUDFLARE_ACCOUNT_ID;
const token = process.env.CLOUDFLARE_API_TOKEN;
const [api, batch] = ["api.cloudflare.com", "batch.imagedelivery.net"];
const delivery = "imagedelivery.net";
const base = readFileSync(new URL("../testdata/picture.jpg", import.meta.url));

// unique returns text that was never used before.
const unique = () => randomBytes(12).toString("hex");

// newPicture returns a JPEG file of 64 x 48 pixels that is like no other: it carries a comment.
function newPicture() {
  const comment = Buffer.from(unique());
  const head = Buffer.from([0xff, 0xfe, 0, comment.length + 2]);
  return Buffer.concat([base.subarray(0, 2), head, comment, base.subarray(2)]);
}

// ask calls the service without any client, and returns the answer.
function ask(path, method = "GET", body = undefined) {
  return fetch(`${process.env.CLOUDFLARE_BASE_URL}/accounts/${accountId}/images/v1${path}`, {
    method, headers: { Authorization: `Bearer ${token}` }, body,
  });
}

// hosted serves a picture by a URL that the service may fetch.
const hosted = newPicture();
const host = createServer((_, response) => {
  response.setHeader("Content-Type", "image/jpeg");
  response.end(hosted);
});

let folder, address, hash;

before(async () => {
  folder = mkdtempSync(join(tmpdir(), "calotype-clients-"));
  await new Promise((resolve) => host.listen(0, "127.0.0.1", resolve));
  address = `http://127.0.0.1:${host.address().port}/hosted.jpg`;
  const answer = await ask("/config", "PATCH", JSON.stringify({ flexible_variants: true }));
  assert.equal(answer.status, 200, "status of the configuration");
  const form = new FormData();
  form.append("file", new Blob([newPicture()]), "first.jpg");
  const { result } = await (await ask("", "POST", form)).json();
  hash = new URL(result.variants[0]).pathname.split("/")[1];
});

after(() => {
  host.close();
  rmSync(folder, { recursive: true });
});

// play tests a client, which must ask those hosts of Cloudflare and no other.
function play(name, hosts, run) {
  test(name, async () => {
    takeAsked();
    await run();
    assert.deepEqual(takeAsked(), hosts, "hosts of Cloudflare that the client asked");
  });
}

// wantImage compares an image that a client returned with what was asked for, and with what the
// service says.
async function wantImage(image, { id = image.id, filename = "picture.jpg", meta }) {
  assert.ok(image.id, "the image has no id");
  assert.equal(image.id, id, "the image has another id");
  assert.equal(image.filename, filename, "the image has another filename");
  if (meta) assert.deepEqual(image.meta, meta, "the metadata is not what was sent");
  const { result } = await (await ask(`/${encodeURIComponent(id)}`)).json();
  for (const field of ["id", "filename", "meta", "uploaded", "requireSignedURLs", "variants"]) {
    assert.deepEqual(image[field], result[field], `${field} differs from what the service says`);
  }
}

// wantBlob compares the original with what was uploaded.
async function wantBlob(id, picture) {
  const answer = await ask(`/${id}/blob`);
  assert.ok(Buffer.from(await answer.arrayBuffer()).equals(picture), "the blob differs");
}

// wantGone fails if the image is there.
async function wantGone(id) {
  assert.equal((await ask(`/${id}`)).status, 404, "the image was found after its deletion");
}

// wantDelivered fetches a URL that a client gave out. A JPEG must have a width and a height: unless
// given otherwise those of what was uploaded.
async function wantDelivered(url, { type = "image/jpeg", width = 64, height = 48 } = {}) {
  const response = await fetch(url);
  const body = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, `status of what was delivered at ${url}`);
  assert.equal(response.headers.get("content-type"), type, `type of what was delivered at ${url}`);
  if (type !== "image/jpeg") {
    assert.equal(body.toString("latin1", 8, 12), type.slice(6).toUpperCase());
    return;
  }
  assert.equal(body.readUInt16BE(), 0xffd8, "what was delivered is no JPEG");
  // A frame's header has the bits of a sample before height and width.
  const size = Buffer.from([8, height >> 8, height & 255, width >> 8, width & 255]);
  assert.ok(body.includes(size), `what was delivered at ${url} is not ${width} x ${height}`);
}

// post uploads a picture to a one-time URL as a browser does.
async function post(url, picture) {
  const form = new FormData();
  form.append("file", new Blob([picture]), "picture.jpg");
  const response = await fetch(url, { method: "POST", body: form });
  assert.equal(response.status, 200, "status of the upload");
}

// wantRefused looks at an envelope that a client handed on.
function wantRefused(envelope, code = 5404) {
  assert.equal(envelope.success, false, "a refusal is reported as success");
  assert.equal(envelope.errors[0].code, code, "code of the refusal");
}

// wantSuccess looks at an envelope that a client handed on, and returns the result.
function wantSuccess(envelope) {
  assert.equal(envelope.success, true, `the answer is ${JSON.stringify(envelope)}`);
  assert.deepEqual(envelope.errors, []);
  return envelope.result;
}

// wantListed fails if a list lacks an image.
function wantListed(images, id) {
  assert.ok(images.some((image) => image.id === id), "the list lacks the image");
}

// newVariant returns a name that sorts after public, so that this stays the first of an image.
const newVariant = () => `variant${unique()}`;

// options are those of the variants that clients make, change and delete.
const options = { fit: "cover", metadata: "none", width: 20, height: 10 };

play("cloudflare-images-ts", [api], async () => {
  const client = new ImagesClient({
    accountIdentifier: accountId, authKey: token, authEmail: "user@example.com",
  });
  const metadata = { key: unique() };
  const minted = await client.createDirectUploadUrl({ metadata });
  const picture = newPicture();
  await post(minted.uploadURL, picture);
  await wantBlob(minted.id, picture);
  const { images } = await client.listImages({ per_page: 100, sort_order: "desc" });
  wantListed(images, minted.id);
  await wantImage(images.find(({ id }) => id === minted.id), { meta: metadata });
  const updated = await client.updateImage({ identifier: minted.id, metadata: { key: "new" } });
  await wantImage(updated, { id: minted.id, meta: { key: "new" } });
  await wantDelivered(updated.variants[0]);
  await client.deleteImage({ identifier: minted.id });
  await wantGone(minted.id);
  await assert.rejects(client.deleteImage({ identifier: minted.id }), (error) => {
    assert.ok(error instanceof FetchError, `the refusal is ${error}`);
    assert.equal(error.code, 5404);
    assert.equal(error.response.status, 404);
    assert.equal(error.message, error.errors[0].message);
    return true;
  });
});

// The client checks the shape of each answer. It has no typed errors: it prints what failed, and
// returns null or false. It has no direct upload.
play("cloudflare-images-kit", [api, batch], async () => {
  const client = new Kit({ accountId, apiKey: token });
  const meta = { key: unique() };
  // First with the token, then through the batch API with a token of that.
  for (const name of ["token", "batch token"]) {
    const ids = [`kit-${unique()}`, `kit/${unique()}`];
    const byURL = wantSuccess(await client.uploadImage(address, ids[0], meta));
    await wantImage(byURL, { id: ids[0], filename: "hosted.jpg", meta });
    const picture = newPicture();
    const file = new File([picture], "picture.jpg", { type: "image/jpeg" });
    const byFile = wantSuccess(await client.uploadImageWithFile(file, null, meta));
    await wantImage(byFile, { meta });
    const byBuffer = wantSuccess(
      await client.uploadImageWithBuffer(picture, "picture.jpg", ids[1], meta));
    await wantImage(byBuffer, { id: ids[1], meta });
    wantListed(wantSuccess(await client.listImages(1, 100)).images, ids[1]);
    const { current, allowed } = wantSuccess(await client.getUsageStats()).count;
    assert.ok(current >= 3 && allowed > current, `the count is ${current} of ${allowed}`);
    assert.equal((await client.getFullListImages()).length, current);
    await wantImage(wantSuccess(await client.getImageDetails(byFile.id)), { id: byFile.id, meta });
    const updated = wantSuccess(await client.updateImage(byFile.id, { key: name }));
    await wantImage(updated, { id: byFile.id, meta: { key: name } });
    await wantDelivered(updated.variants[0]);
    const blob = Buffer.from(await (await client.getBaseImage(byFile.id)).arrayBuffer());
    assert.ok(blob.equals(picture), "the blob differs");
    for (const id of [ids[0], byFile.id, ids[1]]) {
      assert.equal(await client.deleteImage(id), true, "result of the deletion");
      await wantGone(id);
    }
    assert.equal(await client.getImageDetails(ids[0]), null);
    assert.equal(await client.deleteImage(ids[0]), false);
    if (name === "token") {
      assert.deepEqual(takeAsked(), [api], "hosts before there is a batch token");
      assert.equal(await client.refreshBatchToken(), true, "there is no batch token");
    }
  }
});

// The client hands on envelopes of refusals. It has no direct upload, no variants and no keys.
play("cloudflare-images-client", [api], async () => {
  const client = new CloudflareImagesClient({ accountId, apiToken: token });
  const metadata = { key: unique() };
  const picture = newPicture();
  const filePath = join(folder, "client.jpg");
  writeFileSync(filePath, picture);
  const byURL = wantSuccess(await client.uploadImageFromUrl({ url: address, metadata }));
  await wantImage(byURL, { filename: "hosted.jpg", meta: metadata });
  await wantBlob(byURL.id, hosted);
  // Without metadata the client sends the text undefined, which is no JSON.
  const byFile = wantSuccess(
    await client.uploadImageFromFile({ fileName: "picture.jpg", filePath, metadata }));
  await wantImage(byFile, { meta: metadata });
  const { count } = wantSuccess(await client.getImageStatistics());
  assert.ok(count.current >= 2 && count.allowed > 0);
  await wantImage(wantSuccess(await client.getImageDetails(byFile.id)), { id: byFile.id });
  const blob = Buffer.from(await (await client.getImageAsBlob(byFile.id)).arrayBuffer());
  assert.ok(blob.equals(picture), "the blob differs");
  const list = wantSuccess(await client.listImages({ per_page: 100, sort_order: "asc" }));
  wantListed(list.images, byFile.id);
  const first = wantSuccess(await client.listImages({ per_page: 10 }));
  wantListed(first.images, byFile.id);
  const updated = wantSuccess(await client.updateImage(byFile.id, { metadata: { key: "new" } }));
  await wantImage(updated, { id: byFile.id, meta: { key: "new" } });
  await wantDelivered(updated.variants[0]);
  wantSuccess(await client.deleteOneImage(byURL.id));
  const deleted = await client.deleteManyImages([byFile.id, byURL.id]);
  wantSuccess(deleted[0]);
  wantRefused(deleted[1]);
  await wantGone(byFile.id);
  wantRefused(await client.getImageDetails(byFile.id));
});

// The client hands on envelopes of refusals.
play("@jvddavid/cloudflare-images", [api], async () => {
  const metadata = { key: unique() };
  for (const auth of [{ token }, { key: token, email: "user@example.com" }]) {
    const client = new Davids({ accountId, ...auth }, {});
    const picture = newPicture();
    const image = wantSuccess(
      await client.uploadImage({ name: "picture.jpg", image: picture, metadata }));
    await wantImage(image, { meta: metadata });
    await wantBlob(image.id, picture);
    const byText = wantSuccess(
      await client.uploadImage({ name: "picture.jpg", image: picture.toString("base64") }));
    await wantImage(byText, {});
    await wantBlob(byText.id, picture);
    const byURL = wantSuccess(await client.uploadImageURL({ imageURL: address, metadata }));
    await wantImage(byURL, { filename: "hosted.jpg", meta: metadata });
    assert.equal(wantSuccess(await client.baseImage(image.id)), picture.toString("base64"));
    await wantImage(wantSuccess(await client.imageDetails(image.id)), { id: image.id });
    wantListed(wantSuccess(await client.list({ page: 1, perPage: 100 })).images, image.id);
    const page = { perPage: 100, sortOrder: "asc", continuationToken: null };
    wantListed(wantSuccess(await client.listV2(page)).images, image.id);
    assert.ok(wantSuccess(await client.stats()).count.current >= 3);

    const minted = wantSuccess(await client.directUploadUrlV2({ metadata }));
    await post(minted.uploadURL, picture);
    await wantImage(wantSuccess(await client.imageDetails(minted.id)),
      { id: minted.id, meta: metadata });

    const variant = newVariant();
    const made = wantSuccess(await client.createVariant({ id: variant, options }));
    assert.equal(made.variant.id, variant);
    assert.deepEqual(made.variant.options, options);
    const variants = wantSuccess(await client.listVariants()).variants;
    assert.deepEqual(variants[variant], made.variant);
    const url = image.variants[0].replace(/[^/]*$/, variant);
    await wantDelivered(url, { width: 20, height: 10 });
    wantSuccess(
      await client.updateVariant({ id: variant, options: { ...options, width: 10 } }));
    const details = wantSuccess(await client.variantDetails(variant));
    assert.deepEqual(details.variant.options, { ...options, width: 10 });
    await wantDelivered(url, { width: 10, height: 10 });
    wantSuccess(await client.deleteVariant(variant));
    wantRefused(await client.variantDetails(variant), 5401);

    // An image that becomes private has another id, and is shown to who has a signature.
    const hidden = wantSuccess(await client.updateImage(
      { imageId: image.id, metadata: { key: "new" }, requireSignedURLs: true }));
    await wantImage(hidden, { meta: { key: "new" } });
    assert.equal(hidden.requireSignedURLs, true);
    const path = new URL(hidden.variants[0]);
    assert.equal((await fetch(path)).status, 403, "status of the private image");
    const { keys } = wantSuccess(await client.listSigningKeys());
    path.searchParams.set("sig",
      createHmac("sha256", keys[0].value).update(path.pathname).digest("hex"));
    await wantDelivered(path);

    for (const id of [hidden.id, byText.id, byURL.id, minted.id]) {
      wantSuccess(await client.deleteImage(id));
      await wantGone(id);
    }
    wantRefused(await client.imageDetails(hidden.id));
  }
});

// The client has no direct upload and no keys. Two calls are left out because of bugs in the client: a
// refusal ends in a TypeError, because the client expects the text of 2022, and downloadImage decodes the
// picture as text.
play("cloudflare-images", [api], async () => {
  const client = new CloudflareClient({ accountId, apiKey: token });
  const metadata = { key: unique() };
  const picture = newPicture();
  const path = join(folder, "picture.jpg");
  writeFileSync(path, picture);
  const ids = [`tcd-${unique()}`, `tcd-${unique()}`, `tcd-${unique()}`];
  const byFile = wantSuccess(await client.createImageFromFile({ id: ids[0], metadata }, path));
  await wantImage(byFile, { id: ids[0], meta: metadata });
  await wantBlob(byFile.id, picture);
  const byBuffer = wantSuccess(await client.createImageFromBuffer(
    { id: ids[1], fileName: "buffer.jpg", metadata }, picture));
  await wantImage(byBuffer, { id: ids[1], filename: "buffer.jpg", meta: metadata });
  // The client puts the metadata and the boolean into a form as they are, which takes text only.
  const byURL = wantSuccess(await client.createImageFromUrl({
    id: ids[2], fileName: "ignored.jpg", metadata: JSON.stringify(metadata),
    requireSignedURLs: "false",
  }, address));
  await wantImage(byURL, { id: ids[2], filename: "hosted.jpg", meta: metadata });
  await wantBlob(byURL.id, hosted);
  await wantImage(wantSuccess(await client.getImage(ids[0])), { id: ids[0], meta: metadata });
  wantListed(wantSuccess(await client.listImages()).images, ids[0]);
  assert.ok(wantSuccess(await client.getStats()).count.current >= 2);
  const updated = wantSuccess(await client.updateImage(ids[0], { metadata: { key: "new" } }));
  await wantImage(updated, { id: ids[0], meta: { key: "new" } });

  const variant = newVariant();
  const made = wantSuccess(await client.createVariant({ id: variant, options }));
  assert.deepEqual(made.variant.options, options);
  const url = updated.variants[0].replace(/[^/]*$/, variant);
  await wantDelivered(url, { width: 20, height: 10 });
  assert.deepEqual(wantSuccess(await client.listVariants()).variants[variant], made.variant);
  wantSuccess(await client.updateVariant(variant, { options: { ...options, width: 10 } }));
  const details = wantSuccess(await client.getVariant(variant));
  assert.deepEqual(details.variant.options, { ...options, width: 10 });
  await wantDelivered(url, { width: 10, height: 10 });
  wantSuccess(await client.deleteVariant(variant));
  assert.equal((await ask(`/variants/${variant}`)).status, 404);
  for (const id of ids) {
    wantSuccess(await client.deleteImage(id));
    await wantGone(id);
  }
});

// The storage uploads and removes, and reports a refusal in its own words.
play("multer-cloudflare-storage", [api], async () => {
  const storage = new CloudflareStorage(accountId, token);
  const app = express();
  app.post("/", multer({ storage }).single("photo"), (request, response) => {
    response.json(request.file);
  });
  app.use((error, _request, response, _next) => response.status(500).json(error.message));
  const server = app.listen(0, "127.0.0.1");
  try {
    await new Promise((resolve) => server.once("listening", resolve));
    const send = async (content) => {
      const form = new FormData();
      form.append("photo", new Blob([content], { type: "image/jpeg" }), "picture.jpg");
      const url = `http://127.0.0.1:${server.address().port}/`;
      const response = await fetch(url, { method: "POST", body: form });
      return { status: response.status, body: await response.json() };
    };
    const picture = newPicture();
    const { status, body: file } = await send(picture);
    assert.equal(status, 200);
    assert.equal(file.filename, "picture.jpg");
    await wantBlob(file.destination, picture);
    await wantDelivered(file.path);
    const remove = promisify(storage._removeFile.bind(storage));
    await remove(null, file);
    await wantGone(file.destination);
    await assert.rejects(remove(null, file), /error in deleting the asset/);
    const refusal = await send("no picture");
    assert.equal(refusal.status, 500);
    assert.match(refusal.body, /error in uploading an asset/);
  } finally {
    server.close();
  }
});

// The adapter uploads, deletes and makes URLs. A refusal is an error with the answer in its text.
play("payload-cloudflare-images-storage-adapter", [api, delivery], async () => {
  const adapter = cloudflareImagesAdapter({ accountId, apiKey: token, accountHash: hash });
  const picture = newPicture();
  const file = { buffer: picture, filename: "picture.jpg" };
  const data = await adapter.handleUpload({ data: {}, file });
  await wantBlob(data.cloudflareId, picture);
  await wantDelivered(adapter.generateURL({ data, filename: file.filename }));
  await adapter.handleDelete({ doc: data });
  await wantGone(data.cloudflareId);
  await assert.rejects(adapter.handleDelete({ doc: data }), /Error \(404\): .*\b5404\b/s);
  const wrong = { buffer: Buffer.from("no picture"), filename: "picture.jpg" };
  await assert.rejects(adapter.handleUpload({ data: {}, file: wrong }), /Error \(4\d\d\): /);
});

// The provider uploads, deletes, and stores URLs of flexible variants. It takes the deletion of a
// missing image for success.
play("strapi-provider-upload-cloudflare-images", [api, delivery], async () => {
  const provider = strapiProvider.init({
    accountId, accessToken: token, imagesDomain: `https://imagedelivery.net/${hash}`,
  });
  const picture = newPicture();
  const about = { name: "picture.jpg", mime: "image/jpeg", ext: ".jpg", hash: "picture", size: 1 };
  const byBuffer = { ...about, buffer: picture };
  await provider.upload(byBuffer);
  const byStream = { ...about, stream: Readable.from([picture]) };
  await provider.uploadStream(byStream);
  for (const file of [byBuffer, byStream]) {
    const stored = file.provider_metadata;
    assert.equal(stored.filename, "picture.jpg");
    assert.equal(String(file.url), `https://imagedelivery.net/${hash}/${stored.cloudflare_id}`);
    await wantBlob(stored.cloudflare_id, picture);
    assert.equal(await provider.checkFileExistence(file), true);
    const { meta } = (await (await ask(`/${stored.cloudflare_id}`)).json()).result;
    assert.equal(meta.originalName, "picture.jpg");
    assert.equal(meta.strapiProvider, "cloudflare-images");
    const { flexible_examples: urls } = stored;
    const webp = { type: "image/webp" };
    await wantDelivered(urls.webp, webp);
    await wantDelivered(urls.quality);
    await wantDelivered(urls.resize, { width: 800, height: 600 });
    await wantDelivered(urls.combined, webp);
    await wantDelivered(urls.thumbnail, { width: 245, height: 156 });
    await wantDelivered(urls.mobile, webp);
    await wantDelivered(urls.desktop, webp);
    // The picture is enlarged to a height of 156, and to a width as its shape says.
    await wantDelivered(file.formats.thumbnail.url, { width: 208, height: 156 });
    await provider.delete(file);
    await wantGone(stored.cloudflare_id);
    assert.equal(await provider.checkFileExistence(file), false);
    await provider.delete(file);
  }
  await assert.rejects(provider.upload({ ...about, buffer: Buffer.from("no picture") }),
    /Cloudflare Images upload failed: 4\d\d - .*"code": ?\d+/s);
});
