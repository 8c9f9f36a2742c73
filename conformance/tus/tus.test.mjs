// Uploads pictures to one-time URLs with tus-js-client, which is as published. The account is in the environment
// that calotype env prints; EXPIRED_URL is a one-time URL that has expired.
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { test } from "node:test";

import { Upload } from "tus-js-client";

const base = readFileSync(new URL("../testdata/picture.jpg", import.meta.url));
const api = `${process.env.CLOUDFLARE_BASE_URL}/accounts/${process.env.CLOUDFLARE_ACCOUNT_ID}/images`;
const authorization = { Authorization: `Bearer ${process.env.CLOUDFLARE_API_TOKEN}` };

// newPicture returns a JPEG file that is like no other, of a size in bytes.
function newPicture(size) {
  const comment = randomBytes(12);
  const head = Buffer.from([0xff, 0xfe, 0, comment.length + 2]);
  const picture = Buffer.concat([base.subarray(0, 2), head, comment, base.subarray(2)]);
  return Buffer.concat([picture, Buffer.alloc(size - picture.length)]);
}

async function newURL() {
  const answer = await fetch(`${api}/v2/direct_upload`, { method: "POST", headers: authorization });
  return (await answer.json()).result;
}

async function details(id) {
  const answer = await fetch(`${api}/v1/${encodeURIComponent(id)}`, { headers: authorization });
  return (await answer.json()).result;
}

// A Run is an upload by tus-js-client, with what went over its wire.
class Run {
  statuses = []; // such as "POST 201"

  constructor(endpoint, picture, options = {}) {
    this.done = new Promise((resolve) => { this.end = resolve; });
    this.upload = new Upload(picture, {
      endpoint, metadata: { filename: "été 1.jpg", filetype: "image/jpeg" }, chunkSize: 64 << 10,
      retryDelays: [0, 20, 50], storeFingerprintForResuming: false,
      onAfterResponse: (request, response) => {
        this.statuses.push(`${request.getMethod()} ${response.getStatus()}`);
      },
      onSuccess: ({ lastResponse }) => this.end({ answer: lastResponse }),
      onError: (error) => this.end({ error }),
      ...options,
    });
  }

  start() {
    this.upload.start();
    return this.done;
  }
}

// wantImage checks what an accepted upload was answered, and what the account has.
async function wantImage(id, { answer, error }, picture) {
  assert.equal(error, undefined, `the upload failed: ${error}`);
  const { result, success } = JSON.parse(answer.getBody());
  assert.ok(success, "the answer is no success");
  assert.equal(result.id, id, "the answer has another id");
  const image = await details(id);
  assert.equal(image.draft, undefined, "the image is still a draft after the upload");
  assert.equal(image.filename, "été 1.jpg", "the image has another filename");
  const blob = await fetch(`${api}/v1/${id}/blob`, { headers: authorization });
  assert.ok(Buffer.from(await blob.arrayBuffer()).equals(picture), "the blob differs");
}

// wantRefusal checks a refusal, and that it was not repeated.
function wantRefusal({ error }, run, status, code) {
  assert.ok(error, "the upload was accepted");
  assert.equal(error.originalResponse?.getStatus(), status, `the refusal is ${error}`);
  assert.equal(JSON.parse(error.originalResponse.getBody()).errors[0].code, code);
  const last = run.statuses.at(-1);
  assert.equal(run.statuses.filter((s) => s === last).length, 1, `repeated: ${run.statuses}`);
}

test("chunked", async () => {
  const { id, uploadURL } = await newURL();
  const picture = newPicture(300 << 10);
  const run = new Run(uploadURL, picture);
  await wantImage(id, await run.start(), picture);
  assert.deepEqual(run.statuses,
    ["POST 201", "PATCH 204", "PATCH 204", "PATCH 204", "PATCH 204", "PATCH 200"]);
  // The answer stays for an hour, for a client that has not received it.
  const kept = await fetch(run.upload.url);
  assert.equal((await kept.json()).result.id, id, "the answer is not kept");
});

test("in one piece", async () => {
  const { id, uploadURL } = await newURL();
  const picture = newPicture(5 << 20);
  const run = new Run(uploadURL, picture, { chunkSize: Infinity });
  await wantImage(id, await run.start(), picture);
  assert.deepEqual(run.statuses, ["POST 201", "PATCH 200"]);
});

test("creation with upload", async () => {
  const { id, uploadURL } = await newURL();
  const picture = newPicture(100 << 10);
  const run = new Run(uploadURL, picture, { uploadDataDuringCreation: true });
  await wantImage(id, await run.start(), picture);
  assert.deepEqual(run.statuses, ["POST 201", "PATCH 200"]);
});

test("whole in the creation", async () => {
  const { id, uploadURL } = await newURL();
  const picture = newPicture(60 << 10);
  const run = new Run(uploadURL, picture, { uploadDataDuringCreation: true });
  await wantImage(id, await run.start(), picture);
  assert.deepEqual(run.statuses, ["POST 201"]);
});

test("abort and resume", async () => {
  const { id, uploadURL } = await newURL();
  const picture = newPicture(512 << 10);
  let aborted;
  const stopped = new Promise((resolve) => { aborted = resolve; });
  const first = new Run(uploadURL, picture, {
    onChunkComplete: (_, accepted) => {
      if (accepted >= 128 << 10) first.upload.abort().then(aborted);
    },
  });
  first.start();
  await stopped;
  const second = new Run(null, picture, { uploadUrl: first.upload.url });
  await wantImage(id, await second.start(), picture);
  assert.equal(second.statuses[0], "HEAD 200");
  assert.equal(second.statuses.length, 1 + 6, `not from the offset: ${second.statuses}`);
});

test("terminated", async () => {
  const { id, uploadURL } = await newURL();
  let ended;
  const terminated = new Promise((resolve) => { ended = resolve; });
  const run = new Run(uploadURL, newPicture(512 << 10), {
    onChunkComplete: () => { run.upload.abort(true).then(ended, ended); },
  });
  run.start();
  assert.equal(await terminated, undefined, "the upload was not terminated");
  assert.ok(run.statuses.includes("DELETE 204"), `${run.statuses}`);
  const picture = newPicture(100 << 10);
  const again = new Run(null, picture, { uploadUrl: run.upload.url });
  assert.ok((await again.start()).error, "a terminated upload continues");
  // The ticket is not used.
  await wantImage(id, await new Run(uploadURL, picture).start(), picture);
});

test("expired", async () => {
  const run = new Run(process.env.EXPIRED_URL, newPicture(1 << 10));
  wantRefusal(await run.start(), run, 410, 5410);
});

test("used", async () => {
  const { uploadURL } = await newURL();
  const picture = newPicture(1 << 10);
  assert.equal((await new Run(uploadURL, picture).start()).error, undefined);
  const run = new Run(uploadURL, picture);
  wantRefusal(await run.start(), run, 410, 5409);
});

test("too big", async () => {
  const { uploadURL } = await newURL();
  const run = new Run(uploadURL, newPicture((10 << 20) + 1));
  wantRefusal(await run.start(), run, 413, 5413);
  assert.deepEqual(run.statuses, ["POST 413"]);
});

test("no picture", async () => {
  const { uploadURL } = await newURL();
  const run = new Run(uploadURL, Buffer.from("Guten Tag".repeat(20_000)));
  wantRefusal(await run.start(), run, 415, 5455);
  const picture = newPicture(1 << 10);
  assert.equal((await new Run(uploadURL, picture).start()).error, undefined, "the ticket is lost");
});

test("empty", async () => {
  const { uploadURL } = await newURL();
  const run = new Run(uploadURL, Buffer.alloc(0));
  wantRefusal(await run.start(), run, 415, 5455);
});

test("sixteen on one URL", async () => {
  const { id, uploadURL } = await newURL();
  const pictures = Array.from({ length: 16 }, () => newPicture(200 << 10));
  const runs = pictures.map((picture) => new Run(uploadURL, picture));
  const ends = await Promise.all(runs.map((run) => run.start()));
  const winners = ends.flatMap((end, i) => (end.error ? [] : [i]));
  assert.equal(winners.length, 1, `${winners.length} uploads were accepted`);
  await wantImage(id, ends[winners[0]], pictures[winners[0]]);
  for (const [i, { error }] of ends.entries()) {
    if (i === winners[0]) continue;
    const status = error.originalResponse?.getStatus();
    assert.ok(status === 410 || status === 429, `a loser was answered ${error}`);
  }
});
