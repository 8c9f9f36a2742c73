// Receives Calotype's webhooks: verifies each message, does what is to be done once for each event,
// and answers 204.
//
//   WEBHOOK_SIGNING_SECRET=whsec_... node receiver.mjs localhost:3000
import { createHash, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import { Webhook } from "standardwebhooks";

const maxBody = 1 << 20; // more than a message ever has

const [host, port] = (process.argv[2] ?? "localhost:3000").split(":");
const signing = process.env.WEBHOOK_SIGNING_SECRET;
const secret = process.env.WEBHOOK_SECRET ?? ""; // of the header cf-webhook-auth, if there is one
// Without the secret no message can be verified, so none is taken: the sender tries again later. An
// empty secret would verify what anybody has signed.
const verifier = signing && signing !== "whsec_" ? new Webhook(signing) : undefined;
if (!verifier) {
  console.error("WEBHOOK_SIGNING_SECRET is not set, so every message is answered 503. " +
    "'calotype webhook add URL --signing-secret new' prints a secret: start again with it, " +
    "then run 'calotype webhook test'");
}

// The same event may come again, with the same id. A real program inserts the id into a table with
// a unique index, in the same transaction as what it does.
const done = new Set();

function handle(id, { data }) {
  if (done.has(id)) {
    console.log(`${id} again`);
    return;
  }
  switch (data.event) {
    case "image.upload.succeeded":
      console.log(`${id} image ${data.id} is ready: ${data.variants.join(" ")}`);
      break;
    case "image.upload.failed":
      console.log(`${id} upload of ${data.id} failed: ${data.error?.reason}, final ${data.error?.final}`);
      break;
    default: // a test, or a type of a later release: accepted and ignored
      console.log(`${id} ${data.event}`);
  }
  done.add(id);
}

const hash = (text) => createHash("sha256").update(text).digest();

const server = createServer({ requestTimeout: 10_000 }, async (request, response) => {
  const answer = (status, text) => response.writeHead(status).end(text);
  if (request.method !== "POST") return answer(405, "POST only\n");
  if (!verifier) return answer(503, "the receiver has no signing secret yet\n");
  // The signature is over these bytes: verify them before they are parsed.
  const chunks = [];
  let size = 0;
  try {
    for await (const chunk of request) {
      if ((size += chunk.length) > maxBody) return answer(413, "the body is too large\n");
      chunks.push(chunk);
    }
  } catch {
    return; // the sender is gone
  }
  // Hashes have one length, so the comparison reveals nothing, not even the secret's length.
  if (secret && !timingSafeEqual(hash(request.headers["cf-webhook-auth"] ?? ""), hash(secret))) {
    return answer(401, "cf-webhook-auth is not the secret\n");
  }
  let message;
  try {
    message = verifier.verify(Buffer.concat(chunks).toString("utf8"), request.headers);
  } catch (error) {
    return answer(401, `${error.message}\n`);
  }
  handle(request.headers["webhook-id"], message);
  answer(204);
});
server.listen(Number(port), host, () => console.log(`listening on ${host}:${port}`));
