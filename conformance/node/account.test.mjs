// The rest of an account through the official SDK: its variants, signing keys and counts.
import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { test } from "node:test";

import Cloudflare from "cloudflare";

import { Service, unique, upload, wantRefusal } from "./client.mjs";

// Other scenarios upload and delete concurrently.
test("stats", async () => {
  const service = new Service();
  const id = await upload(service, {});
  const { count } = await service.v1.stats.get(service.account);
  assert.ok(count.current >= 1, `${count.current} images after an upload`);
  assert.ok(count.allowed >= count.current, "more images than allowed");
  await service.delete(id);
  service.finish();
});

// options are those of a variant of a width.
const options = (width) => ({ fit: "scale-down", width, height: 10 * width, metadata: "none" });

test("variants", async () => {
  const service = new Service();
  const { variants } = service.v1;
  const name = `small${unique()}`;
  const create = (id, width) =>
    variants.create({ ...service.account, id, options: options(width) });
  const id = await upload(service, {});
  const made = await create(name, 40);
  assert.deepEqual(made.variant,
    { id: name, options: options(40), neverRequireSignedURLs: false }, "the new variant");
  assert.equal(made.id, name, "the id beside the variant");
  await wantRefusal(service, Cloudflare.ConflictError, () => create(name, 50));
  await wantRefusal(service, Cloudflare.BadRequestError, () => create(`bad${unique()}`, 0));
  const edited = await variants.edit(name, {
    ...service.account, options: options(30), neverRequireSignedURLs: true,
  });
  assert.equal(edited.variant.options.width, 30, "the changed variant");
  const got = await variants.get(name, service.account);
  assert.deepEqual(got.variant,
    { id: name, options: options(30), neverRequireSignedURLs: true }, "the variant");
  const all = (await variants.list(service.account)).variants;
  assert.deepEqual(all[name], got.variant, "the variant in the list");
  assert.equal(all.public.id, "public", "the list of variants");
  const image = await service.details(id);
  assert.ok(image.variants.some((url) => url.endsWith(`/${name}`)), "the variants of the image");
  await variants.delete(name, service.account);
  await wantRefusal(service, Cloudflare.NotFoundError, () => variants.get(name, service.account));
  await service.delete(id);
  service.finish();
});

// sign signs a delivery URL as the service documents it.
function sign(plain, key) {
  const signed = new URL(plain);
  signed.searchParams.set("exp", "4102444800");
  const text = signed.pathname + signed.search;
  signed.searchParams.set("sig", createHmac("sha256", key).update(text).digest("hex"));
  return signed.href;
}

async function status(url) {
  const response = await fetch(url);
  await response.arrayBuffer();
  return response.status;
}

test("signing keys", async () => {
  const service = new Service();
  const { keys } = service.v1;
  const name = `k${unique().slice(0, 10)}`;
  const made = (await keys.update(name, service.account)).keys;
  const key = made.find((k) => k.name === name)?.value;
  assert.ok(key, "there is no new key");
  assert.deepEqual((await keys.list(service.account)).keys, made, "the list of keys");
  const id = await upload(service, { requireSignedURLs: true });
  const plain = (await service.details(id)).variants.find((url) => url.endsWith("/public"));
  assert.equal(await status(plain), 403, "the private image without a signature");
  assert.equal(await status(sign(plain, key)), 200, "the private image with a signature");
  const left = (await keys.delete(name, service.account)).keys;
  assert.ok(!left.some((k) => k.name === name), "the deleted key is still there");
  assert.equal(await status(sign(plain, key)), 403, "a signature by a deleted key");
  await service.delete(id);
  service.finish();
});
