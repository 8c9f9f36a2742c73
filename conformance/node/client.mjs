// What the scenarios share: a client of the account in the environment, pictures, and the upload
// that an end user's browser does.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import Cloudflare from "cloudflare";

const base = readFileSync(new URL("../testdata/picture.jpg", import.meta.url));

// unique returns text that was never used before.
export const unique = () => randomBytes(12).toString("hex");

// newPicture returns a JPEG file of 64 x 48 pixels that is like no other: it carries a comment.
export function newPicture() {
  const comment = Buffer.from(unique());
  const head = Buffer.from([0xff, 0xfe, 0, comment.length + 2]);
  return Buffer.concat([base.subarray(0, 2), head, comment, base.subarray(2)]);
}

// A Service is a client of an account, and what went over its wire. The SDK reads the environment
// by itself: CLOUDFLARE_BASE_URL and CLOUDFLARE_API_TOKEN.
export class Service {
  requests = 0;
  broken = []; // answers that are no envelopes

  constructor(options = {}) {
    this.account = { account_id: process.env.CLOUDFLARE_ACCOUNT_ID };
    assert.ok(this.account.account_id, "CLOUDFLARE_ACCOUNT_ID is not set");
    const client = new Cloudflare({ fetch: (...call) => this.#watch(...call), ...options });
    this.v1 = client.images.v1;
    this.v2 = client.images.v2;
    this.alerting = client.alerting;
  }

  // watch counts requests, those that the SDK repeats too, and looks at envelopes: the SDK reads
  // results without asking whether there was success. It also fetches data:, to learn what fetch
  // can do, which goes over no wire.
  async #watch(url, init) {
    if (/^https?:/.test(url)) this.requests++;
    const response = await fetch(url, init);
    if ((response.headers.get("content-type") ?? "").includes("json")) {
      const body = await response.clone().text();
      if (!isEnvelope(body, response.ok)) {
        this.broken.push(`${init.method}: status ${response.status}: ${body}`);
      }
    }
    return response;
  }

  // finish fails if any answer was not as documented.
  finish() {
    assert.deepEqual(this.broken, [], "broken envelope");
  }

  createUploadURL(options = {}) {
    return this.v2.directUploads.create({ ...this.account, ...options });
  }

  details(id) {
    return this.v1.get(id, this.account);
  }

  delete(id) {
    return this.v1.delete(id, this.account);
  }

  // blob returns the original.
  async blob(id) {
    const response = await this.v1.blobs.get(id, this.account);
    return Buffer.from(await response.arrayBuffer());
  }
}

// isEnvelope reports whether the body is an envelope with a success, or else with an error.
function isEnvelope(body, success) {
  let envelope;
  try {
    envelope = JSON.parse(body);
  } catch {
    return false;
  }
  const { errors, messages } = envelope;
  if (!("result" in envelope) || !Array.isArray(errors) || !Array.isArray(messages)) return false;
  const said = errors[0]?.code > 0 && errors[0].message !== "";
  return envelope.success === success && said !== success;
}

// post posts a picture as a form in a browser does, without any credentials, and returns the
// status.
export async function post(url, picture) {
  const form = new FormData();
  form.append("file", new Blob([picture], { type: "image/jpeg" }), "picture.jpg");
  const response = await fetch(url, { method: "POST", body: form });
  await response.arrayBuffer();
  return response.status;
}

// upload uploads a picture by a one-time URL and returns the image's id.
export async function upload(service, options) {
  const minted = await service.createUploadURL(options);
  assert.ok(minted.uploadURL, "there is no upload URL");
  assert.equal(await post(minted.uploadURL, newPicture()), 200, "status of the upload");
  return minted.id;
}

// wantImage compares an image or draft with what was asked for.
export function wantImage(image, { id, creator = null, metadata, requireSignedURLs = false }) {
  assert.equal(image.id, id, "the image has another id");
  assert.equal(image.creator ?? null, creator, "the image has another creator");
  assert.equal(image.requireSignedURLs, requireSignedURLs, "the image's requireSignedURLs");
  const meta = typeof metadata === "string" ? JSON.parse(metadata) : metadata;
  assert.deepEqual(image.meta, meta, "the metadata is not what was sent");
}

// wantDelivered fetches the variants: a public image is there for all, a private one for none
// without a signature.
export async function wantDelivered(image) {
  assert.ok(image.variants.length > 0, "the image has no variants");
  for (const url of image.variants) {
    const response = await fetch(url);
    const body = Buffer.from(await response.arrayBuffer());
    if (image.requireSignedURLs) {
      assert.equal(response.status, 403, "the private image was delivered");
      continue;
    }
    assert.equal(response.status, 200, "status of what was delivered");
    assert.match(response.headers.get("content-type"), /^image\//);
    assert.ok(body.length > 100, `delivered were ${body.length} bytes`);
  }
}

export async function wantBlob(service, id, picture) {
  const blob = await service.blob(id);
  assert.ok(blob.equals(picture), "the blob differs from what was uploaded");
}

// wantRefusal makes a call that must be refused, with a code, by the first request.
export async function wantRefusal(service, type, call) {
  const before = service.requests;
  const refusal = await call().then(
    () => assert.fail("the call was not refused"),
    (error) => error,
  );
  assert.equal(service.requests - before, 1,
    `the SDK sent ${service.requests - before} requests for one refusal`);
  assert.ok(refusal instanceof type, `the refusal is ${refusal}, want ${type.name}`);
  assert.equal(refusal.errors.length, 1, `the refusal says ${refusal}`);
  assert.ok(refusal.errors[0].code > 0 && refusal.errors[0].message, `the refusal says ${refusal}`);
}
