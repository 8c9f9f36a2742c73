// Uploads pictures from pages of another origin, by each client of clients.js in Chromium: one good
// picture, one that is refused, and one for a used URL. The page's backend is this program, which
// knows the service from the environment that calotype env prints. CHROMIUM is the browser; CLIENTS,
// if set, is a regular expression for the names of those that are wanted.
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { after, before, describe, test } from 'node:test'

import { build } from 'esbuild'
import { chromium } from 'playwright-core'

import { guide, snippets } from './guide.mjs'

const picture = readFileSync(new URL('../testdata/picture.jpg', import.meta.url))
const api = `${process.env.CLOUDFLARE_BASE_URL}/accounts/${process.env.CLOUDFLARE_ACCOUNT_ID}`
const wanted = new RegExp(process.env.CLIENTS ?? '')

// ask calls the service as a backend does.
async function ask(method, path) {
  const response = await fetch(`${api}/${path}`, {
    method, headers: { Authorization: `Bearer ${process.env.CLOUDFLARE_API_TOKEN}` },
  })
  const answer = await response.json()
  assert.ok(answer.success, JSON.stringify(answer))
  return answer.result
}

const { createUploadURL } =
  await import(`data:text/javascript,${encodeURIComponent(snippets.get('backend.js'))}`)

let browser, server, origin

before(async () => {
  const { outputFiles } = await build({
    entryPoints: [new URL('clients.js', import.meta.url).pathname], bundle: true, write: false,
    outdir: '/', format: 'esm', splitting: true, minify: true, target: 'chrome110',
    plugins: [guide], jsx: 'automatic', logLevel: 'warning',
    define: { 'process.env.NODE_ENV': '"production"' },
  })
  const scripts = new Map(outputFiles.map(({ path, contents }) => [path, contents]))
  server = createServer((request, response) => {
    const page = new URL(request.url, 'http://localhost')
    const html = page.pathname.startsWith('/guide/') && snippets.get(page.pathname.slice('/guide/'.length))
    if (html) {
      const uploadURL = page.searchParams.get('url')
      response.setHeader('Content-Type', 'text/html; charset=utf-8')
      response.end('<!DOCTYPE html><link rel="icon" href="data:,">' + html.replaceAll('UPLOAD_URL', uploadURL)
        .replaceAll('https://images.example.com', new URL(uploadURL).origin))
      return
    }
    const script = scripts.get(request.url)
    response.setHeader('Content-Type', `text/${script ? 'javascript' : 'html'}; charset=utf-8`)
    response.end(script ?? '<!DOCTYPE html><link rel="icon" href="data:,"><div id="root"></div>' +
      '<script type="module" src="/clients.js"></script>')
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  origin = `http://127.0.0.1:${server.address().port}`
  browser = await chromium.launch({
    executablePath: process.env.CHROMIUM, headless: true, timeout: 60_000,
    args: ['--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
      '--disable-component-update', '--disable-sync',
      ...process.getuid() === 0 ? ['--no-sandbox'] : []],
  })
})

after(async () => {
  await browser?.close()
  server?.close()
  server?.closeAllConnections()
})

// play has a user choose a file in the page of a client, and returns what the page shows: what its
// code was given, and its text. sees is the text that ends the wait where the code is given nothing.
async function play(page, client, uploadURL, buffer, sees) {
  await page.goto(`${origin}/?${new URLSearchParams({ client, url: uploadURL })}`)
  const input = page.locator('input[type=file]').first()
  await input.waitFor({ state: 'attached' })
  await input.setInputFiles({ name: 'a 1.jpg', mimeType: 'image/jpeg', buffer })
  if (client.startsWith('guide Uppy')) await page.click('.uppy-StatusBar-actionBtn--upload')
  await page.waitForFunction((sees) => globalThis.outcome ||
    sees && document.body.innerText.includes(sees), sees)
  return page.evaluate(() => ({ outcome: globalThis.outcome, text: document.body.innerText }))
}

// open runs fn with a fresh page. Its time is long for machines with much else to do.
async function open(fn) {
  const context = await browser.newContext()
  context.setDefaultTimeout(60_000)
  const errors = []
  try {
    const page = await context.newPage()
    page.on('pageerror', (error) => errors.push(error))
    await fn(page)
    assert.deepEqual(errors, [])
  } catch (error) {
    error.message += ` Errors in the page: ${errors.join(', ')}`
    throw error
  } finally {
    await context.close()
  }
}

const words = {
  text: 'Uploaded image must have image/jpeg',
  used: 'Upload URL already used',
}

const resultOf = ({ outcome }) =>
  typeof outcome?.result === 'string' ? JSON.parse(outcome.result).result : outcome?.result

// says wants that the page knows the service's words: its code, or, of a snippet of the guide, its
// text or the error that it throws.
function says(seen, expected) {
  const known = seen.outcome ? seen.outcome.message ?? '' : seen.text
  assert.ok(known.includes(expected), `the page knows ${JSON.stringify(seen)}, want ${expected}`)
}

// takes plays the three parts of a client.
function takes(client) {
  if (wanted.test(client)) test(client, () => open(async (page) => {
    const sees = client.startsWith('guide') ? (text) => text : () => null
    const url = await createUploadURL()
    says(await play(page, client, url.uploadURL, Buffer.from('no picture'), sees(words.text)), words.text)
    const { upload, draft } = await ask('GET', `images/v1/${url.id}`)
    assert.ok(draft)
    assert.equal(upload.attempts, 1, 'one wrong picture counted more than once')

    if (client.startsWith('guide')) {
      await page.route(url.uploadURL, (route) => route.request().method() === 'POST' ? route.fulfill({
        status: 413, contentType: 'text/html', body: '<html>too large</html>',
        headers: { 'Access-Control-Allow-Origin': '*' },
      }) : route.continue())
      const failed = 'The upload failed (413).'
      says(await play(page, client, url.uploadURL, picture, failed), failed)
      await page.unroute(url.uploadURL)
    }

    const good = await play(page, client, url.uploadURL, picture)
    assert.equal(resultOf(good)?.id, url.id, `the page knows ${JSON.stringify(good)}`)
    const image = await ask('GET', `images/v1/${url.id}`)
    assert.equal(image.draft, undefined, 'the image is still a draft')
    assert.equal(image.filename, 'a 1.jpg')

    says(await play(page, client, url.uploadURL, picture, sees(words.used)), words.used)
    await delivered(page, image.variants[0])
  }))
}

// inHTML plays a snippet of HTML, and sees the picture delivered. use may return the id that the page shows.
function inHTML(client, file, use) {
  if (wanted.test(client)) test(client, () => open(async (page) => {
    const url = await createUploadURL()
    await page.goto(`${origin}/guide/${file}?${new URLSearchParams({ url: url.uploadURL })}`)
    const id = await use(page)
    if (id) assert.equal(id, url.id)
    const image = await ask('GET', `images/v1/${url.id}`)
    assert.equal(image.draft, undefined, 'the image is still a draft')
    assert.equal(image.filename, 'a 1.jpg')
    await delivered(page, image.variants[0])
  }))
}

// delivered shows a picture in a page.
async function delivered(page, url) {
  await page.goto(`${origin}/guide/form.html?url=${origin}`)
  const width = await page.evaluate(async (src) => {
    const image = Object.assign(new Image(), { src })
    await image.decode()
    return image.naturalWidth
  }, url)
  assert.ok(width > 0, `${url} is not delivered`)
}

// refuses plays a client that is used wrongly: the answer says why, and the URL stays as it was.
function refuses(client, expected) {
  if (wanted.test(client)) test(client, () => open(async (page) => {
    const url = await createUploadURL()
    says(await play(page, client, url.uploadURL, picture), expected)
    const { upload, draft } = await ask('GET', `images/v1/${url.id}`)
    assert.ok(draft)
    assert.equal(upload.attempts, 0)
  }))
}

// Several at once, as some wait most of their time.
describe('pages', { concurrency: 4 }, () => {
  for (const client of ['guide fetch', 'guide XMLHttpRequest', 'guide axios', 'guide React',
    'guide Uppy', 'guide Uppy with tus',
    'guide calotype-upload', 'guide function upload', 'guide FilePond', 'guide Dropzone', 'fetch with credentials',
    'fetch by PUT', 'fetch with other headers', 'axios', 'axios with credentials', 'Uppy',
    'Uppy Dashboard with credentials', 'FilePond', 'Dropzone', 'Dropzone with credentials',
    'Fine Uploader', 'plupload']) {
    takes(client)
  }
  inHTML('guide plain form', 'form.html', async (page) => {
    await page.setInputFiles('input[type=file]', { name: 'a 1.jpg', mimeType: 'image/jpeg', buffer: picture })
    await page.click('button')
    await page.waitForURL(/ticket=/)
    return JSON.parse(await page.innerText('body')).result.id
  })
  inHTML('guide calotype-upload in a form', 'element.html', async (page) => {
    await page.getByText('Choose your portrait').waitFor()
    await page.setInputFiles('calotype-upload input', { name: 'a 1.jpg', mimeType: 'image/jpeg', buffer: picture })
    await page.getByText('Uploaded.').waitFor()
    const field = await page.evaluate(() => new FormData(document.querySelector('form')).get('receipt'))
    assert.ok(field, 'the form has no field of the element')
  })
  refuses('fetch with a Content-Type', 'do not set this header yourself')
  refuses('Dropzone in chunks', 'chunked uploads are not supported')
})
