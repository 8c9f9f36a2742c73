// A program that uses Cloudflare Images through the official SDK: one-time upload URLs, details,
// lists, originals, deletion and errors. It knows the account and where the service is from the
// three environment variables that the SDKs read, and nothing of who answers.
import assert from "node:assert/strict";
import { test } from "node:test";

import Cloudflare, { toFile } from "cloudflare";

import {
  newPicture, post, Service, unique, upload, wantBlob, wantDelivered, wantImage, wantRefusal,
} from "./client.mjs";

// The SDK asks for it where Node.js 18 has not made it a global yet.
globalThis.File ??= (await import("node:buffer")).File;

const inMinutes = (n) => new Date(Date.now() + n * 60_000).toISOString();

// Each takes a one-time URL from being asked for to the image's deletion.
const uploads = {
  "no options": {},
  "custom id": { id: `users/${unique()}/Ölbild im Café/日本` },
  "metadata object": {
    metadata: { key: "value", list: ["a", "b"], nested: { "Schlüssel": "ü/ö" } },
  },
  "metadata text": { metadata: `{"number":5,"true":true,"text":"ü"}` },
  creator: { creator: `user:${unique()}` },
  expiry: { expiry: inMinutes(10) },
  private: { requireSignedURLs: true },
};

for (const [name, options] of Object.entries(uploads)) {
  test(`direct upload: ${name}`, async () => {
    const service = new Service();
    const minted = await service.createUploadURL(options);
    assert.ok(minted.uploadURL, "there is no upload URL");
    assert.ok(minted.id, "there is no id");
    const want = { id: minted.id, ...options };
    const draft = await service.details(want.id);
    assert.equal(draft.draft, true, "the image is no draft before the upload");
    wantImage(draft, want);

    const picture = newPicture();
    assert.equal(await post(minted.uploadURL, picture), 200, "status of the upload");
    const image = await service.details(want.id);
    assert.ok(!image.draft, "the image is still a draft after the upload");
    wantImage(image, want);
    assert.equal(image.filename, "picture.jpg");
    assert.ok(Date.parse(image.uploaded) >= Date.parse(draft.uploaded), "the time of the upload");
    await wantDelivered(image);
    await wantBlob(service, want.id, picture);
    assert.equal(await post(minted.uploadURL, newPicture()), 409, "status of the second upload");
    await wantBlob(service, want.id, picture);
    await service.delete(want.id);
    await assert.rejects(service.details(want.id), Cloudflare.NotFoundError,
      "the image was found after its deletion");
    service.finish();
  });
}

// list returns the ids of all images of a creator, page by page.
async function list(service, creator, sort_order, per_page) {
  const ids = [];
  let continuation_token;
  for (let pages = 0; pages < 20; pages++) {
    const page = await service.v2.list({
      ...service.account, creator, sort_order, per_page, continuation_token,
    });
    assert.ok(Array.isArray(page.images), "the list has no images");
    assert.ok(page.images.length <= per_page, "the page is longer than asked for");
    ids.push(...page.images.map((image) => image.id));
    if (!page.continuation_token) return ids;
    continuation_token = page.continuation_token;
  }
  return assert.fail("the list does not end");
}

test("list", async () => {
  const service = new Service();
  const creator = `list of ${unique()}`;
  const ids = [];
  const nobodys = await upload(service, {});
  assert.deepEqual(await list(service, creator, "desc", 1000), [], "the list of a new creator");
  for (let i = 0; i < 5; i++) ids.push(await upload(service, { creator }));
  await service.createUploadURL({ creator }); // a draft, never listed
  assert.deepEqual(await list(service, creator, "asc", 2), ids, "the list in ascending order");
  ids.reverse();
  assert.deepEqual(await list(service, creator, "desc", 2), ids, "the list in descending order");
  assert.deepEqual(await list(service, creator, "desc", 1000), ids, "the list on one page");
  const found = await list(service, "", "desc", 1000);
  assert.ok(found.includes(nobodys) && !found.includes(ids[0]), "the list of images without a creator");
  for (const id of [...ids, nobodys]) await service.delete(id);
  assert.deepEqual(await list(service, creator, "desc", 10), [], "the list after the deletions");
  service.finish();
});

const taken = `errors/${unique()}`;

// Mistakes: each is a typed error, and costs one request.
const mistakes = {
  "unknown image": [Cloudflare.NotFoundError, (s) => s.details(`unknown/${unique()}`)],
  "unknown blob": [Cloudflare.NotFoundError, (s) => s.blob(`unknown/${unique()}`)],
  "unknown deletion": [Cloudflare.NotFoundError, (s) => s.delete(`unknown/${unique()}`)],
  "taken id": [Cloudflare.ConflictError, (s) => s.createUploadURL({ id: taken })],
  "expiry too soon": [Cloudflare.BadRequestError, (s) => s.createUploadURL({ expiry: inMinutes(1) })],
  "wrong token": [Cloudflare.AuthenticationError, (s) => s.createUploadURL(), { apiToken: "no such token" }],
};

test("errors", async (t) => {
  const owner = new Service();
  await owner.createUploadURL({ id: taken });
  for (const [name, [type, call, options]] of Object.entries(mistakes)) {
    await t.test(name, async () => {
      const service = new Service(options);
      await wantRefusal(service, type, () => call(service));
      service.finish();
    });
  }
  await owner.delete(taken);
  owner.finish();
});

// create uploads a picture by the API.
async function create(service, picture, options) {
  const file = await toFile(picture, "picture.jpg", { type: "image/jpeg" });
  return service.v1.create({ ...service.account, file, ...options });
}

test("upload by API", async () => {
  const service = new Service();
  const options = {
    id: `api/${unique()}/Ölbild im Café`, creator: `user ${unique()}`, metadata: { key: "value" },
  };
  const picture = newPicture();
  wantImage(await create(service, picture, options), options);
  const image = await service.details(options.id);
  wantImage(image, options);
  assert.ok(!image.draft, "the image is still a draft after the upload");
  await wantDelivered(image);
  await wantBlob(service, options.id, picture);
  await wantRefusal(service, Cloudflare.ConflictError,
    () => create(service, newPicture(), options));
  await wantRefusal(service, Cloudflare.APIError, () => create(service, Buffer.from("no picture")));
  await wantBlob(service, options.id, picture);
  await service.delete(options.id);
  service.finish();
});

// The list by page numbers. The SDK's pager looks for a field items, which the service never had,
// so programs read the field images.
test("old list", async () => {
  const service = new Service();
  const creator = `old list of ${unique()}`;
  const ids = [];
  for (let i = 0; i < 3; i++) ids.push((await create(service, newPicture(), { creator })).id);
  const found = [];
  for (const [number, want] of [[1, 2], [2, 1], [3, 0]]) {
    const page = await service.v1.list({ ...service.account, creator, page: number, per_page: 2 });
    assert.equal(page.result_info.page, number, "the page in result_info");
    assert.equal(page.result_info.per_page, 2, "per_page in result_info");
    assert.equal(page.result.images?.length, want, `the old list on page ${number}`);
    assert.deepEqual(page.getPaginatedItems(), [], "what the pager finds");
    found.push(...page.result.images.map((image) => image.id));
  }
  assert.deepEqual(found.sort(), ids.sort(), "the old list");
  for (const id of ids) await service.delete(id);
  service.finish();
});
