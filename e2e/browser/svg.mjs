// Opens SVGs in a real browser. It reads one JSON object from standard input,
//
//   {"chromium": path, "args": [...], "pages": [{"url": URL, "shot": whether, "own": [URLs]}, ...]}
//
// and prints one JSON value a line for each page, in its order: {"dialogs": number, "requests": [URLs],
// "shot": a PNG in base64}. requests are those that the page makes besides itself, its own and data URLs.
import { chromium } from 'playwright-core'
import { text } from 'node:stream/consumers'

const plan = JSON.parse(await text(process.stdin))
const settle = 60 // ms, after the load event and after a click

async function look(page, { url, shot, own = [] }) {
  const seen = { url, dialogs: 0, requests: [] }
  const expected = new Set([url, ...own])
  const onDialog = (dialog) => {
    seen.dialogs++
    dialog.dismiss().catch(() => {})
  }
  const onRequest = (request) => {
    const to = request.url()
    if (!expected.has(to) && !to.startsWith('data:image/') && !to.endsWith('/favicon.ico')) seen.requests.push(to)
  }
  page.on('dialog', onDialog)
  page.on('request', onRequest)
  try {
    await page.goto(url, { waitUntil: 'load' })
    await page.waitForTimeout(shot ? 300 : settle)
    if (shot) {
      seen.shot = (await page.screenshot({ clip: { x: 0, y: 0, width: 200, height: 100 } })).toString('base64')
    } else {
      // What lies in the middle of an SVG may be a link.
      const frames = await page.locator('iframe').all()
      for (const frame of frames) await frame.click()
      if (frames.length === 0) await page.mouse.click(100, 50)
      await page.waitForTimeout(settle)
    }
  } catch (err) {
    seen.failed = String(err)
  }
  page.off('dialog', onDialog)
  page.off('request', onRequest)
  return seen
}

const browser = await chromium.launch({
  executablePath: plan.chromium, args: plan.args, headless: true, timeout: 60_000,
})
const all = new Array(plan.pages.length)
let next = 0
async function work() {
  const context = await browser.newContext({ viewport: { width: 400, height: 300 } })
  context.setDefaultTimeout(60_000) // ms: the machine may be busy
  const page = await context.newPage()
  while (next < plan.pages.length) {
    const i = next++
    all[i] = await look(page, plan.pages[i])
  }
  await context.close()
}
try {
  await Promise.all([work(), work()])
  for (const seen of all) console.log(JSON.stringify(seen))
} finally {
  await browser.close()
}
