// Sends to the server in CLOUDFLARE_BASE_URL what this process asks of Cloudflare's hosts. Path,
// query, headers and body stay as they are, so clients with those hosts in their code need no
// change. By fetch or TLS no other host can be asked but this machine.
import http from "node:http";
import https from "node:https";

const server = new URL(process.env.CLOUDFLARE_BASE_URL);
const cloudflare = new Set(["api.cloudflare.com", "batch.imagedelivery.net", "imagedelivery.net",
  "upload.imagedelivery.net"]);

let asked = new Set();

// takeAsked returns the hosts of Cloudflare that were asked for since its last call.
export function takeAsked() {
  const hosts = [...asked].sort();
  asked = new Set();
  return hosts;
}

// isCloudflare reports whether a host is to be replaced, and remembers it.
function isCloudflare(host) {
  if (cloudflare.has(host)) asked.add(host);
  else if (host !== "127.0.0.1") throw new Error(`a client asks ${host}`);
  return cloudflare.has(host);
}

const { fetch } = globalThis;
globalThis.fetch = (resource, init) => {
  const url = new URL(resource.url ?? resource);
  if (!isCloudflare(url.hostname)) return fetch(resource, init);
  const here = new URL(url.pathname + url.search, server);
  return fetch(resource instanceof Request ? new Request(here, resource) : here, init);
};

// The two HTTP libraries that clients bring, axios and node-fetch, call this with options.
https.request = (options, callback) => {
  if (!isCloudflare(options.hostname)) throw new Error("no TLS is spoken here");
  return http.request({
    ...options, protocol: server.protocol, host: server.host, hostname: server.hostname,
    port: server.port, agent: undefined,
  }, callback);
};
