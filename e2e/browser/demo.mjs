// Uses the demo page in a real browser. It reads one JSON object from standard input,
//
//   {"chromium": path, "args": [...], "link": URL, "elsewhere": URL, "shots": folder or "",
//    "good": file, "bad": file}
//
// where a file is {"name", "type", "base64"}, and prints one JSON value a line: what was seen in
// each view, and then what was seen by each other way of giving the page a picture.
import { chromium } from 'playwright-core'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'

const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const views = [['light', 360, 780], ['light', 1280, 900], ['dark', 360, 780], ['dark', 1280, 900]]
const plan = JSON.parse(await text(process.stdin))
const buffer = (f) => ({ name: f.name, mimeType: f.type, buffer: Buffer.from(f.base64, 'base64') })

// open makes a page that remembers what went wrong in it.
async function open(options) {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(30_000)
  const page = await context.newPage()
  const seen = { errors: [], hosts: [] }
  page.on('pageerror', (err) => seen.errors.push(String(err)))
  page.on('console', (line) => {
    // A refusal is what the page is shown for; the browser calls it an error.
    if (line.type() === 'error' && !line.text().startsWith('Failed to load resource')) {
      seen.errors.push(line.text())
    }
  })
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url())
    if (protocol !== 'blob:' && !seen.hosts.includes(host)) seen.hosts.push(host)
  })
  await page.addInitScript(() => {
    globalThis.shifted = 0
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) globalThis.shifted += entry.value
    }).observe({ type: 'layout-shift', buffered: true })
  })
  return { context, page, seen }
}

const chip = (page, word) => page.locator('.chip', { hasText: word }).waitFor()

// ready waits for the print, and returns the text that the page shows for it.
async function ready(page) {
  await chip(page, /^ready$/)
  await page.locator('.plate img.loaded').waitFor()
  await page.locator('figcaption .facts', { hasText: 'image/' }).waitFor()
  return page.evaluate(() => ({
    width: document.querySelector('.plate img').naturalWidth,
    url: document.querySelector('.plate img').src,
    caption: document.querySelector('figcaption').innerText,
    codes: [...document.querySelectorAll('.steps pre')].map((pre) => pre.innerText),
    facts: document.querySelector('dl').innerText,
  }))
}

async function audit(page) {
  await page.evaluate(axe)
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document))
  return {
    passes: passes.length,
    violations: violations.map((v) => `${v.impact} ${v.id}: ${v.nodes[0].html.slice(0, 200)}`),
  }
}

async function view([scheme, width, height]) {
  const { context, page, seen } = await open({
    colorScheme: scheme, viewport: { width, height }, reducedMotion: 'reduce',
  })
  seen.audits = []
  const look = async (state) => {
    // The picture and the colours come in slowly, and are to be judged as they stay.
    await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished)))
    if (plan.shots) {
      const path = `${plan.shots}/${state}-${scheme}-${width}.png`
      // For a picture of the whole page the window grows, which moves what is sticky.
      const shifted = await page.evaluate(() => globalThis.shifted)
      await page.screenshot({ path, fullPage: true })
      await page.evaluate((before) => new Promise((resolve) => requestAnimationFrame(() =>
        setTimeout(() => { globalThis.shifted = before; resolve() }, 100))), shifted)
    }
    const found = await audit(page)
    seen.audits.push({ state, ...found })
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    if (wide > 0) seen.errors.push(`${state}: the page is ${wide} pixels too wide`)
  }
  await page.goto(plan.link)
  seen.url = page.url()
  await page.getByText('MiB').first().waitFor()
  await look('idle')

  const network = await context.newCDPSession(page)
  const slow = { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 100_000 }
  await network.send('Network.enable')
  await network.send('Network.emulateNetworkConditions', slow)
  await page.setInputFiles('#file', buffer(plan.good))
  await page.waitForFunction(() => document.querySelector('progress').value > 0.1)
  await chip(page, /^draft$/)
  seen.draft = await page.locator('.steps pre').nth(5).innerText()
  seen.progress = await page.evaluate(() => document.querySelector('progress').value)
  await look('uploading')
  await network.send('Network.emulateNetworkConditions', { ...slow, uploadThroughput: -1 })
  seen.print = await ready(page)
  await look('ready')
  await page.getByRole('link', { name: 'See it in each variant' }).click()
  const below = await page.evaluate(() => document.querySelector('#pictures').getBoundingClientRect().top)
  if (below >= height) seen.errors.push('the link does not lead to the pictures')

  // As an extension that translates the page into a language of the other direction leaves it.
  const shifted = await page.evaluate(() => globalThis.shifted)
  await page.evaluate(() => { document.documentElement.dir = 'rtl' })
  await look('ready-rtl')
  const turned = await page.evaluate(() => [...document.querySelectorAll('pre, code')]
    .filter((code) => getComputedStyle(code).direction !== 'ltr').length)
  if (turned > 0) seen.errors.push(`${turned} texts of code are written from right to left`)
  await page.evaluate((before) => new Promise((resolve) => {
    document.documentElement.dir = ''
    requestAnimationFrame(() => setTimeout(() => { globalThis.shifted = before; resolve() }, 100))
  }), shifted)

  await page.setInputFiles('#file', buffer(plan.bad))
  const alert = page.locator('[role=alert]', { hasText: 'code' })
  await alert.waitFor()
  seen.refusal = await alert.innerText()
  seen.refused = await page.locator('.steps pre').nth(5).innerText()
  await chip(page, /^refused$/)
  const reason = await page.evaluate(() => {
    const pre = document.querySelectorAll('.steps pre')[5]
    const range = document.createRange()
    const walker = document.createTreeWalker(pre, NodeFilter.SHOW_TEXT)
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      if (node.data.includes('lastError')) range.selectNode(node)
    }
    const [line, box] = [range.getBoundingClientRect(), pre.getBoundingClientRect()]
    return line.height > 0 && line.top >= box.top && line.bottom <= box.bottom
  })
  if (!reason) seen.errors.push('the reason in the draft is out of sight')
  if (await page.locator('.step.bad').count() !== 1) seen.errors.push('not one step is marked as refused')
  await look('refused')
  seen.shifted = await page.evaluate(() => globalThis.shifted)
  await context.close()
  return seen
}

const ways = {
  // By keyboard alone: to the sample's button, and then to a button that copies.
  async keyboard(page) {
    const focused = (words) => page.evaluate((w) => {
      const { innerText, ariaLabel } = document.activeElement
      return innerText?.trim() === w || ariaLabel === w
    }, words)
    const tabTo = async (words) => {
      for (let i = 0; i < 30 && !(await focused(words)); i++) await page.keyboard.press('Tab')
      if (!(await focused(words))) throw new Error(`Tab does not lead to "${words}"`)
      const style = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
      if (style !== 'solid') throw new Error(`the focus on "${words}" is not to be seen`)
    }
    await tabTo('Use the sample')
    await page.keyboard.press('Enter')
    const print = await ready(page)
    if (!(await focused('Use the sample'))) throw new Error('the focus has left the button')
    await tabTo('Copy request of step 1')
    await page.keyboard.press('Enter')
    await page.getByText('Copied', { exact: true }).waitFor()
    return { ...print, copied: await page.evaluate(() => navigator.clipboard.readText()) }
  },

  async drop(page) {
    await give(page, (transfer) => new DragEvent('drop', { dataTransfer: transfer, bubbles: true,
      cancelable: true }))
    return ready(page)
  },

  async paste(page) {
    await give(page, (transfer) => new ClipboardEvent('paste', { clipboardData: transfer,
      bubbles: true }))
    return ready(page)
  },
}

// give dispatches an event that carries the good file.
async function give(page, event) {
  await page.getByText('MiB').first().waitFor()
  await page.evaluate(({ file, event }) => {
    const bytes = Uint8Array.from(atob(file.base64), (c) => c.charCodeAt(0))
    const transfer = new DataTransfer()
    transfer.items.add(new File([bytes], file.name, { type: file.type }))
    document.body.dispatchEvent(new Function(`return (${event})`)()(transfer))
  }, { file: plan.good, event: String(event) })
}

// By a link on a page of another site, for which strict cookies do not come along.
async function link() {
  const { context, page, seen } = await open()
  await page.goto(plan.elsewhere)
  await page.click('a')
  await page.getByText('MiB').first().waitFor()
  seen.url = page.url()
  await context.close()
  return seen
}

async function way(name) {
  const { context, page, seen } = await open({
    permissions: ['clipboard-read', 'clipboard-write'],
  })
  await page.goto(plan.link)
  seen.print = await ways[name](page)
  await context.close()
  return seen
}

const browser = await chromium.launch({
  executablePath: plan.chromium, args: plan.args, headless: true, timeout: 60_000,
})
try {
  const all = [...views.map((v) => [v.join(' '), () => view(v)]),
    ...Object.keys(ways).map((name) => [name, () => way(name)]), ['link', link]]
  for (const [name, look] of all) {
    let seen
    try {
      seen = await look()
    } catch (err) {
      seen = { failed: String(err) }
    }
    console.log(JSON.stringify({ name, ...seen }))
  }
} finally {
  await browser.close()
}
