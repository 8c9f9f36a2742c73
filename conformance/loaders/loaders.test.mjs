// Delivers pictures by URLs that the loaders of frameworks make, by the packages' own code as npm has it, and by the
// presets of programs that npm does not have, as URLs. The account is in the environment that calotype env prints.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { before, test } from "node:test";

import "@angular/compiler"; // compiles what @angular/common has not compiled
import { IMAGE_LOADER, provideCloudflareLoader } from "@angular/common";
import { joinPaths } from "@astrojs/internal-helpers/path";
import nuxtCloudflare from "@nuxt/image/runtime/providers/cloudflare";
import nuxtImages from "@nuxt/image/runtime/providers/cloudflareimages";
import * as unpicCloudflare from "unpic/providers/cloudflare";
import * as unpicImages from "unpic/providers/cloudflare_images";

import { isRemoteAllowed } from "./node_modules/@astrojs/cloudflare/dist/utils/assets.js";

const api = `${process.env.CLOUDFLARE_BASE_URL}/accounts/${process.env.CLOUDFLARE_ACCOUNT_ID}/images/v1`;
const headers = { Authorization: `Bearer ${process.env.CLOUDFLARE_API_TOKEN}` };
const server = new URL(process.env.CLOUDFLARE_BASE_URL).origin;

let hash, id, path, absolute; // of a public JPEG of 64 x 48 pixels; path and absolute are its URLs

before(async () => {
  const configured = await fetch(`${api}/config`, { method: "PATCH", headers, body: '{"flexible_variants":true}' });
  assert.equal(configured.status, 200, "status of the configuration");
  const form = new FormData();
  const picture = readFileSync(new URL("../testdata/picture.jpg", import.meta.url));
  form.append("file", new Blob([picture]), "picture.jpg");
  const { result } = await (await fetch(api, { method: "POST", headers, body: form })).json();
  absolute = result.variants[0];
  path = new URL(absolute).pathname;
  [, hash, id] = path.split("/");
});

// jpegSize returns width and height of a JPEG.
function jpegSize(data) {
  for (let at = 2; at + 9 < data.length; at += 2 + data.readUInt16BE(at + 2)) {
    const marker = data[at + 1];
    if (marker >= 0xc0 && marker <= 0xc3) return [data.readUInt16BE(at + 7), data.readUInt16BE(at + 5)];
  }
  throw new Error("a JPEG without a frame");
}

// deliver requests a URL as a browser would, which says by accept what it shows. The host of the URL is replaced,
// because the loaders speak https only. It returns the type, and the size of a JPEG.
async function deliver(url, accept = "image/jpeg") {
  const { pathname, search } = new URL(url, server);
  const asWritten = url.startsWith("/") ? url : url.slice(url.indexOf("/", url.indexOf("//") + 2));
  const response = await fetch(server + asWritten, { headers: { Accept: accept }, redirect: "error" });
  const body = Buffer.from(await response.arrayBuffer());
  assert.equal(response.status, 200, `${pathname}${search}: ${response.status} ${body.subarray(0, 200)}`);
  const type = response.headers.get("content-type").split(";")[0];
  return { type, size: type === "image/jpeg" ? jpegSize(body).join("x") : undefined };
}

// modifiers are sets of modifiers of @nuxt/image, with the size or the types of the picture.
const modifiers = [
  [{}, "64x48"],
  [{ width: 32 }, "32x24"],
  [{ height: 24 }, "32x24"],
  [{ width: 40, height: 20, fit: "cover" }, "40x20"],
  [{ width: 40, height: 40, fit: "contain" }, "40x30"],
  [{ width: 40, height: 40, fit: "fill" }, { cloudflare: "40x30", cloudflareimages: "40x40" }],
  [{ width: 40, height: 20, fit: "outside" }, "40x20"],
  [{ width: 40, height: 40, fit: "inside" }, { cloudflare: "40x40", cloudflareimages: "40x30" }],
  [{ width: 16, dpr: 2 }, "32x24"],
  [{ width: 32, quality: 50 }, "32x24"],
  [{ width: 32, format: "webp" }, ["image/webp"]],
  [{ width: 32, format: "avif" }, ["image/avif", "image/webp"]],
  [{ width: 32, format: "jpeg" }, "32x24"],
  [{ width: 32, format: "png" }, ["image/png"]],
  [{ width: 32, height: 32, fit: "cover", gravity: "auto" }, "32x32"],
  [{ width: 32, height: 32, fit: "cover", gravity: "left" }, "32x32"],
  [{ width: 32, height: 32, fit: "cover", gravity: "face" }, "32x32"],
  [{ width: 32, blur: 5 }, "32x24"],
  [{ rotate: 90 }, "48x64"],
  [{ width: 32, sharpen: 1 }, "32x24"],
  [{ width: 32, format: "json" }, ["application/json"]],
];

async function wantDelivered(url, want, accept) {
  const { type, size } = await deliver(url, accept);
  if (Array.isArray(want)) assert.ok(want.includes(type), `${url} is ${type}`);
  else assert.equal(size, want, `${url} is ${type} of ${size}`);
}

for (const [set, want] of modifiers) {
  const name = JSON.stringify(set);
  const wanted = (provider) => want[provider] ?? want;
  test(`@nuxt/image cloudflareimages ${name}`, async () => {
    const options = { modifiers: { ...set }, baseURL: server, accountHash: hash };
    await wantDelivered(nuxtImages().getImage(id, options).url, wanted("cloudflareimages"));
  });
  test(`@nuxt/image cloudflare ${name}`, async () => {
    for (const source of [path, absolute, path.slice(1)]) {
      for (const baseURL of ["/", server]) {
        const { url } = nuxtCloudflare().getImage(source, { modifiers: { ...set }, baseURL });
        await wantDelivered(url, wanted("cloudflare"));
      }
    }
  });
}

test("unpic cloudflare", async () => {
  for (const source of [path, absolute]) {
    const made = (operations) => unpicCloudflare.generate(source, operations, { domain: "shop.example" });
    await wantDelivered(made({ width: 32, height: 16 }), "32x16");
    await wantDelivered(made({ width: 32, height: 16, fit: "contain" }), "21x16");
    await wantDelivered(made({ width: 32, quality: 60, format: "jpg" }), "32x24");
    await wantDelivered(made({ width: 32 }), ["image/webp", "image/avif"], "image/avif,image/webp,*/*");
    const again = unpicCloudflare.transform(made({ width: 32 }), { width: 16 }, { domain: "shop.example" });
    await wantDelivered(again, "16x12");
  }
});

test("unpic cloudflare_images", async () => {
  const options = { host: "shop.example", accountHash: hash, imageId: id };
  await wantDelivered(unpicImages.generate("", { width: 32, height: 16 }, options), "32x16");
  await wantDelivered(unpicImages.generate("", { width: 32, format: "webp" }, options), ["image/webp"]);
  const made = unpicImages.generate("", { width: 32 }, options);
  await wantDelivered(unpicImages.transform(made, { width: 16, quality: 50 }), "16x12");
});

// Next.js has no loader for Cloudflare: users copy functions of these two forms from its documentation.
test("next/image loaders", async () => {
  const transforms = ({ src, width, quality }) =>
    `/cdn-cgi/image/${[`width=${width}`, `quality=${quality || 75}`, "format=auto"].join(",")}/${
      src.startsWith("/") ? src.slice(1) : src}`;
  const images = ({ src, width, quality }) =>
    `https://imagedelivery.net/${hash}/${src}/${[`w=${width}`, `q=${quality || 75}`, "f=auto", "fit=scale-down"]}`;
  for (const width of [16, 32, 48, 64, 96, 640, 1080, 3840]) {
    const want = width < 64 ? `${width}x${width * 3 / 4}` : "64x48";
    for (const src of [path, absolute]) await wantDelivered(transforms({ src, width }), want);
    await wantDelivered(images({ src: id, width, quality: 90 }), want);
  }
});

test("@angular/common provideCloudflareLoader", async () => {
  const { useValue: loader } = provideCloudflareLoader(server).find((one) => one.provide === IMAGE_LOADER);
  const sources = [path.slice(1)];
  for (const src of sources) {
    await wantDelivered(loader({ src, width: 32 }), "32x24");
    await wantDelivered(loader({ src, width: 32, height: 16 }), "21x16");
    await wantDelivered(loader({ src, isPlaceholder: true, width: 30 }), "30x23");
    await wantDelivered(loader({ src, width: 32, loaderParams: { transform: { fit: "cover", height: 8 } } }), "32x8");
    await wantDelivered(loader({ src }), "64x48");
  }
});

// The loader of Astro is a part of a build: its file has the marks of Vite, which are replaced as Vite does.
test("@astrojs/cloudflare image service", async () => {
  const folder = "./node_modules/@astrojs/cloudflare/dist/entrypoints";
  const file = new URL(`${folder}/image-service-external.js`, import.meta.url);
  const code = readFileSync(file, "utf8").replace(/^import .*$/gm, "").replace(/export \{[^}]*\};?/, "return service;")
    .replaceAll("import.meta.env.BASE_URL", '"/"');
  const service = new Function("joinPaths", "baseService", "isESMImportedImage", "isRemoteAllowed", code)(
    joinPaths, {}, (src) => typeof src === "object", isRemoteAllowed);
  const config = { domains: [new URL(server).hostname] };
  for (const src of [{ src: path }, absolute]) {
    await wantDelivered(service.getURL({ src, width: 32 }, config), "32x24");
    await wantDelivered(service.getURL({ src, width: 32, height: 16, fit: "cover", quality: 80 }, config), "32x16");
    await wantDelivered(service.getURL({ src, width: 32, format: "webp" }, config), ["image/webp"]);
    await wantDelivered(service.getURL({ src, width: 32, format: "avif" }, config), ["image/avif", "image/webp"]);
  }
});

// presets are options as programs without a package on npm write them.
const presets = {
  "django-cloudflareimages-toolkit thumbnail": ["w=150,h=150,fit=cover,q=85", "150x150"],
  "django-cloudflareimages-toolkit avatar": ["w=100,h=100,fit=cover,gravity=auto,q=90", "100x100"],
  "django-cloudflareimages-toolkit hero_image": ["w=1200,h=600,fit=cover,gravity=auto,q=85,f=auto", "1200x600"],
  "django-cloudflareimages-toolkit responsive_image": ["w=32,fit=scale-down,q=85,f=auto", "32x24"],
  "django-cloudflareimages-toolkit product_image": ["w=400,h=400,fit=pad,background=ffffff,q=90", "400x400"],
  "django-cloudflareimages-toolkit gallery_image": ["w=800,h=600,fit=contain,q=85,f=auto", "800x600"],
  "django-cloudflareimages-toolkit mobile_optimized": ["w=400,fit=scale-down,q=80,f=webp,dpr=2.0", ["image/webp"]],
  "cloudflare-images-sync og_1200x630": ["w=1200,h=630,fit=cover,quality=85,f=auto", "1200x630"],
  "cloudflare-images-sync square_800": ["w=800,h=800,fit=cover,quality=85,f=auto", "800x800"],
  "cloudflare-images-sync thumb_400x300": ["w=400,h=300,fit=cover,quality=80,f=auto", "400x300"],
  "cloudflare-images-sync hero_1600x900": ["w=1600,h=900,fit=cover,quality=85,f=auto", "1600x900"],
  "cloudflare-images-sync mobile_600w_2x": ["w=600,dpr=2,quality=85,f=auto", "64x48"],
  "cloudflare-images-sync square_smartcrop": ["w=800,h=800,fit=cover,gravity=auto,quality=85,f=auto", "800x800"],
  "craft-cloudflare-images center-center": ["width=32,height=16,fit=crop,gravity=center-center,quality=82", "32x16"],
  "craft-cloudflare-images 0.5x0.5": ["width=32,height=16,fit=crop,gravity=0.5x0.5,quality=82,format=jpeg", "32x16"],
  "craft-cloudflare-images 0x0": ["width=32,height=16,fit=cover,gravity=0x0", "32x16"],
  "craft-cloudflare-images effects":
    ["width=32,gamma=1.2,format=auto,compression=fast,rotate=90,background=red", "32x43"],
};

for (const [name, [options, want]] of Object.entries(presets)) {
  test(name, async () => {
    await wantDelivered(`/${hash}/${id}/${options}`, want);
    await wantDelivered(`/cdn-cgi/image/${options}/${absolute}`, want);
  });
}
