// Drives a real browser. It reads one JSON object from standard input,
//
//   {"chromium": path, "args": [...], "steps": [{"do": name, ...}, ...]}
//
// runs the steps one after another, each in a new page, and prints one JSON value a line: the result of
// the page. A step that fails prints {"failed": reason}.
import { chromium } from 'playwright-core'
import { text } from 'node:stream/consumers'

const timeout = 60_000 // ms: a busy machine takes long to read a large file

const steps = {
  // form submits the plain HTML form of a page and returns the next page.
  async form(page, { page: address, file }) {
    await page.goto(address)
    const bytes = Buffer.from(file.base64, 'base64')
    const padding = Buffer.alloc(Math.max(0, (file.size ?? 0) - bytes.length))
    await page.setInputFiles('input[type=file]', {
      name: file.name, mimeType: file.type, buffer: Buffer.concat([bytes, padding]),
    })
    const [response] = await Promise.all([
      page.waitForResponse((r) => r.request().method() === 'POST', { timeout }),
      page.click('input[type=submit]'),
    ])
    await page.waitForLoadState('load')
    return { status: response.status(), url: page.url(), text: await page.innerText('body') }
  },

  // fetch posts FormData from the script of a page and returns the response that the script can read.
  async fetch(page, { page: address, target, file }) {
    await page.goto(address)
    return page.evaluate(async ({ target, file }) => {
      const bytes = Uint8Array.from(atob(file.base64), (c) => c.charCodeAt(0))
      const whole = new Uint8Array(Math.max(bytes.length, file.size ?? 0))
      whole.set(bytes)
      const form = new FormData()
      form.append('file', new File([whole], file.name, { type: file.type }))
      try {
        const response = await fetch(target, { method: 'POST', body: form })
        return {
          status: response.status, type: response.type, json: await response.json(),
          requestID: response.headers.get('X-Request-Id'),
        }
      } catch (err) {
        return { failed: String(err) }
      }
    }, { target, file })
  },

  // xhr posts with a progress listener, for which the browser asks the server first.
  async xhr(page, { page: address, target, file }) {
    await page.goto(address)
    return page.evaluate(({ target, file }) => new Promise((resolve) => {
      const bytes = Uint8Array.from(atob(file.base64), (c) => c.charCodeAt(0))
      const form = new FormData()
      form.append('file', new File([bytes], file.name, { type: file.type }))
      const request = new XMLHttpRequest()
      let sent = 0
      request.upload.addEventListener('progress', (event) => { sent = event.loaded })
      request.onload = () => resolve({
        status: request.status, json: JSON.parse(request.responseText), sent,
      })
      request.onerror = () => resolve({ failed: 'network error' })
      request.open('POST', target)
      request.send(form)
    }), { target, file })
  },

  // image shows a picture of another origin, and reads its pixels as only CORS allows.
  async image(page, { page: address, target }) {
    await page.goto(address)
    return page.evaluate(async ({ target }) => {
      const image = new Image()
      image.crossOrigin = 'anonymous'
      image.src = target
      try {
        await image.decode()
        const canvas = document.createElement('canvas')
        canvas.width = image.naturalWidth
        canvas.height = image.naturalHeight
        const context = canvas.getContext('2d')
        context.drawImage(image, 0, 0)
        const [red, green, blue, alpha] = context.getImageData(0, 0, 1, 1).data
        return { width: canvas.width, height: canvas.height, pixel: [red, green, blue, alpha] }
      } catch (err) {
        return { failed: String(err) }
      }
    }, { target })
  },
}

const plan = JSON.parse(await text(process.stdin))
const browser = await chromium.launch({
  executablePath: plan.chromium, args: plan.args, headless: true, timeout: 60_000,
})
try {
  for (const step of plan.steps) {
    const context = await browser.newContext()
    context.setDefaultTimeout(timeout)
    let seen
    try {
      seen = await steps[step.do](await context.newPage(), step)
    } catch (err) {
      seen = { failed: String(err) }
    }
    console.log(JSON.stringify(seen))
    await context.close()
  }
} finally {
  await browser.close()
}
