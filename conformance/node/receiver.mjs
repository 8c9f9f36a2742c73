// The backend of an app: it listens on this machine, keeps what is posted to it, and checks it with
// the library of Standard Webhooks.
import assert from "node:assert/strict";
import { createServer } from "node:http";
import { setTimeout as sleep } from "node:timers/promises";

import { Webhook } from "standardwebhooks";

import { unique } from "./client.mjs";

// patience is how long the program waits for what must come, or be listed, at once.
const patience = 20_000;

// eventually asks again and again until there is something.
export async function eventually(otherwise, ask) {
  for (const deadline = Date.now() + patience; ; await sleep(10)) {
    const found = await ask();
    if (found) return found;
    assert.ok(Date.now() < deadline, otherwise);
  }
}

// A Receiver answers 200 until the test sets another status. Its path is new, because ports are reused.
export class Receiver {
  status = 200; // of its answers
  messages = []; // {headers, body: text, json}
  #path = `/hook/${unique()}`;
  #server = createServer((request, response) => this.#take(request, response));

  static async start() {
    const receiver = new Receiver();
    await new Promise((resolve, reject) => {
      receiver.#server.once("error", reject).listen(0, "127.0.0.1", resolve);
    });
    receiver.url = `http://127.0.0.1:${receiver.#server.address().port}${receiver.#path}`;
    return receiver;
  }

  stop() {
    this.#server.closeAllConnections();
    return new Promise((resolve) => this.#server.close(resolve));
  }

  async #take(request, response) {
    let status = 404;
    try {
      const parts = await request.toArray();
      if (request.method === "POST" && request.url === this.#path) {
        const body = Buffer.concat(parts).toString();
        this.messages.push({ headers: request.headers, body, json: JSON.parse(body) });
        status = this.status;
      }
    } catch {
      status = 400;
    }
    response.writeHead(status).end();
  }

  // find returns the first message about an event of an image; that of a test has none.
  find(event, id) {
    return this.messages.find(({ json }) => json.data?.event === event && json.data.id === id);
  }

  wait(event, id) {
    return eventually(`no message ${event} came to the receiver`, () => this.find(event, id));
  }
}

// wantGenuine wants a message with the secret in it, and with a signature that fits it, and neither
// another body nor another key.
export function wantGenuine({ headers, body }, { secret, signingSecret }) {
  assert.equal(headers["cf-webhook-auth"], secret, "cf-webhook-auth is not the secret");
  assert.match(headers["content-type"], /^application\/json/);
  const webhook = new Webhook(signingSecret);
  assert.doesNotThrow(() => webhook.verify(body, headers), "the signature does not verify");
  const content = Buffer.from(body);
  for (let at = 0; at < content.length; at++) {
    content[at] ^= 1;
    assert.throws(() => webhook.verify(content, headers), /No matching signature/,
      `the signature verifies with byte ${at} changed`);
    content[at] ^= 1;
  }
  const other = new Webhook(Buffer.from("the key of another destination").toString("base64"));
  assert.throws(() => other.verify(body, headers), /No matching signature/,
    "the signature verifies with another key");
}
