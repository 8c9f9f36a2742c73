// Destinations, notification policies, and the events of uploads that an app's backend gets.
import assert from "node:assert/strict";
import { test } from "node:test";

import Cloudflare from "cloudflare";

import { newPicture, post, Service, unique, upload, wantRefusal } from "./client.mjs";
import { eventually, Receiver, wantGenuine } from "./receiver.mjs";

const alertType = "image_notification";

// all returns what a list holds.
async function all(list) {
  const items = [];
  for await (const item of list) items.push(item);
  return items;
}

// withHook runs a scenario with a destination and its receiver, which gets a test event, and with the secrets
// to verify messages. It deletes both afterwards.
async function withHook(scenario) {
  const service = new Service();
  const receiver = await Receiver.start();
  const given = { name: `backend ${unique()}`, secret: unique(), url: receiver.url };
  const { webhooks } = service.alerting.destinations;
  let made;
  try {
    made = await webhooks.create({ ...service.account, ...given });
    // The SDK's type lacks it: there are receivers that need none.
    assert.ok(made.id && made.signing_secret, "the new destination has no id or no signing secret");
    const hook = { receiver, id: made.id, signingSecret: made.signing_secret, ...given };
    await scenario(service, hook);
  } finally {
    if (made?.id) await webhooks.delete(made.id, service.account).catch(() => {});
    await receiver.stop();
  }
  service.finish();
}

// wantDestination wants a destination alone and in the list, and none of its secrets with it.
async function wantDestination(service, { id, name, url, secret, signingSecret }) {
  const { webhooks } = service.alerting.destinations;
  const alone = await webhooks.get(id, service.account);
  const listed = (await all(webhooks.list(service.account))).find((hook) => hook.id === id);
  assert.ok(listed, "the list of destinations lacks the new one");
  for (const got of [alone, listed]) {
    assert.deepEqual({ id: got.id, name: got.name, url: got.url, type: got.type },
      { id, name, url, type: "generic" }, "the destination");
    assert.ok(Date.now() - Date.parse(got.created_at) < 3600_000, "when it was created");
    const raw = JSON.stringify(got);
    assert.ok(!("signing_secret" in got) && !raw.includes(secret) && !raw.includes(signingSecret),
      `the destination shows a secret: ${raw}`);
  }
}

test("webhook destination", () => withHook(async (service, hook) => {
  const { webhooks } = service.alerting.destinations;
  const tested = hook.receiver.find("test", undefined);
  assert.ok(tested, "the test event was not sent");
  wantGenuine(tested, hook);
  await wantDestination(service, hook);

  const change = { name: "new name", url: hook.url };
  const updated = await webhooks.update(hook.id, { ...service.account, ...change });
  assert.equal(updated.id, hook.id, "the answer to the change");
  await wantDestination(service, { ...hook, ...change });

  hook.receiver.status = 500;
  await wantRefusal(service, Cloudflare.BadRequestError, async () => {
    const made = await webhooks.create({ ...service.account, name: "broken", url: hook.url });
    await webhooks.delete(made.id, service.account);
  });

  await webhooks.delete(hook.id, service.account);
  await wantRefusal(service, Cloudflare.NotFoundError,
    () => webhooks.get(hook.id, service.account));
}));

// withPolicy runs a scenario with a policy that subscribes a hook.
async function withPolicy(service, hook, scenario) {
  const { policies } = service.alerting;
  const fields = {
    name: hook.name, description: `about ${hook.name}`, enabled: true, alert_type: alertType,
    mechanisms: { webhooks: [{ id: hook.id }] },
  };
  const { id } = await policies.create({ ...service.account, ...fields });
  try {
    await scenario({ id, ...fields });
  } finally {
    await policies.delete(id, service.account).catch(() => {});
  }
}

// wantPolicy wants a policy alone and in the list.
async function wantPolicy(service, { mechanisms, ...want }) {
  const { policies } = service.alerting;
  const alone = await policies.get(want.id, service.account);
  const listed = (await all(policies.list(service.account))).find(({ id }) => id === want.id);
  assert.ok(listed, "the list of policies lacks the new one");
  for (const policy of [alone, listed]) {
    const got = Object.fromEntries(Object.keys(want).map((field) => [field, policy[field]]));
    assert.deepEqual(got, want, "the policy is another");
    assert.deepEqual(policy.mechanisms.webhooks, mechanisms.webhooks, "the subscribers of the policy");
    assert.ok(Date.parse(policy.modified) >= Date.parse(policy.created), "the policy's times");
  }
}

// A change of a policy may carry one field.
test("webhook policy", () => withHook(async (service, hook) => {
  const { policies } = service.alerting;
  const available = await service.alerting.availableAlerts.list(service.account);
  assert.ok(Object.values(available).flat().some(({ type }) => type === alertType),
    "among the available alerts is no image_notification");
  await withPolicy(service, hook, async (policy) => {
    await wantPolicy(service, policy);
    for (const change of [{ enabled: false }, { name: "new name" }]) {
      const changed = await policies.update(policy.id, { ...service.account, ...change });
      assert.equal(changed.id, policy.id, "the answer to the change of the policy");
      Object.assign(policy, change);
      await wantPolicy(service, policy);
    }
    await policies.delete(policy.id, service.account);
    await wantRefusal(service, Cloudflare.NotFoundError,
      () => policies.get(policy.id, service.account));
  });
}));

// history returns a policy's entries by message, page by page. Concurrent messages move entries to later
// pages: some may be returned twice.
async function history(service, policy, range) {
  const found = new Map();
  let seen = 0;
  for await (const entry of service.alerting.history.list({
    ...service.account, per_page: 2, ...range,
  })) {
    assert.ok(++seen <= 1000, "the history does not end");
    if (entry.policy_id === policy.id) found.set(entry.alert_body, entry);
  }
  return found;
}

async function wantHistory(service, policy, began, messages) {
  // An attempt is listed when it is over, which is after the receiver had the message.
  const found = await eventually("the history lacks what was sent", async () => {
    const listed = await history(service, policy, { since: began });
    return listed.size >= messages.length && listed;
  });
  for (const { body } of messages) {
    const entry = found.get(body);
    assert.ok(entry, "the history lacks a message as it was sent");
    assert.equal(entry.alert_type, alertType);
    assert.equal(entry.mechanism_type, "webhook");
    assert.ok(entry.id && entry.mechanism && entry.name && entry.sent >= began,
      `the history has ${JSON.stringify(entry)}`);
  }
  const earlier = await history(service, policy, { before: began });
  assert.equal(earlier.size, 0, "the history has messages before the first");
}

// An end user uploads by one-time URLs, and the app's backend gets the events.
test("webhook delivery", () => withHook((service, hook) =>
  withPolicy(service, hook, async (policy) => {
    const { receiver } = hook;
    const began = new Date().toISOString();
    const image = await service.createUploadURL();
    assert.equal(await post(image.uploadURL, Buffer.from("no picture")), 415, "what is no picture");
    const failed = await receiver.wait("image.upload.failed", image.id);
    assert.ok(failed.json.data.error.code > 0, "the code of the failure");
    assert.equal(failed.json.data.error.attempt, 1, "the attempt that failed");
    assert.equal(await post(image.uploadURL, newPicture()), 200, "status of the upload");
    const succeeded = await receiver.wait("image.upload.succeeded", image.id);
    assert.equal(succeeded.json.data.filename, "picture.jpg");
    for (const message of [failed, succeeded]) {
      wantGenuine(message, hook);
      const { alert_type, account_id, policy_id } = message.json;
      assert.deepEqual({ alert_type, account_id, policy_id },
        { alert_type: alertType, policy_id: policy.id, ...service.account }, "the message");
    }
    await wantHistory(service, policy, began, [failed, succeeded]);

    const { policies } = service.alerting;
    await policies.update(policy.id, { ...service.account, enabled: false });
    const unsent = await upload(service);
    await policies.update(policy.id, { ...service.account, enabled: true });
    const sent = await upload(service);
    await receiver.wait("image.upload.succeeded", sent);
    assert.ok(!receiver.find("image.upload.succeeded", unsent),
      "an upload was sent while the policy was disabled");
    for (const id of [image.id, unsent, sent]) await service.delete(id);
  })));
