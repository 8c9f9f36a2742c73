// Reads the API's viewer in a real browser. It reads one JSON object from standard input,
//
//   {"chromium": path, "args": [...], "page": URL, "token": text, "shots": folder or ""}
//
// and prints one JSON value a line: what was seen in each view, and then what a request from the viewer was answered.
import { chromium } from 'playwright-core'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'

const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const views = [['light', 360, 780], ['light', 1280, 900], ['dark', 360, 780], ['dark', 1280, 900]]
const plan = JSON.parse(await text(process.stdin))

async function open(options) {
  const context = await browser.newContext(options)
  context.setDefaultTimeout(60_000)
  const page = await context.newPage()
  const seen = { errors: [], hosts: [], audits: [] }
  page.on('pageerror', (err) => seen.errors.push(String(err)))
  page.on('console', (line) => {
    if (['error', 'warning'].includes(line.type())) seen.errors.push(line.text())
  })
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url())
    if (!['blob:', 'data:'].includes(protocol) && !seen.hosts.includes(host)) seen.hosts.push(host)
  })
  await page.addInitScript(() => {
    globalThis.refusedByPolicy = []
    addEventListener('securitypolicyviolation', (event) => {
      globalThis.refusedByPolicy.push(`${event.effectiveDirective} ${event.blockedURI} ${event.sourceFile}`)
    })
  })
  await page.goto(plan.page)
  await page.locator('.opblock-tag').first().waitFor()
  return { context, page, seen }
}

async function close({ context, page, seen }) {
  seen.errors.push(...await page.evaluate(() => globalThis.refusedByPolicy))
  await context.close()
  return seen
}

async function view([scheme, width, height]) {
  const at = await open({ colorScheme: scheme, viewport: { width, height }, reducedMotion: 'reduce' })
  const { page, seen } = at
  const look = async (state, judge) => {
    await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished)))
    if (plan.shots) await page.screenshot({ path: `${plan.shots}/docs-${state}-${scheme}-${width}.png`, fullPage: true })
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth)
    if (wide > 0) seen.errors.push(`${state}: the page is ${wide} pixels too wide`)
    if (!judge) return // the page with an open operation has all of the closed one
    await page.evaluate(axe)
    const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document))
    seen.audits.push({ state, passes: passes.length,
      violations: violations.map((v) => `${v.id}: ${v.nodes.map((n) => n.html.slice(0, 150)).join(' ')}`) })
  }
  await look('closed', false)

  // By keyboard: to a group of operations, to an operation, and into its example.
  const tabTo = async (what, matches) => {
    for (let i = 0; i < 60; i++) {
      if (await page.evaluate(`(${matches})(document.activeElement)`)) {
        const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle)
        if (outline !== 'solid') throw new Error(`the focus on ${what} is not to be seen`)
        return
      }
      await page.keyboard.press('Tab')
    }
    throw new Error(`Tab does not lead to ${what}`)
  }
  await tabTo('a group', (e) => e.matches('[data-tag="One-time URLs"] button'))
  await page.keyboard.press('Enter')
  await page.locator('#operations-One-time_URLs-createDirectUpload').waitFor()
  await tabTo('an operation', (e) => e.matches('#operations-One-time_URLs-createDirectUpload button.opblock-summary-control'))
  await page.keyboard.press('Enter')
  await page.locator('.microlight', { hasText: 'uploadURL' }).waitFor()
  await tabTo('an example', (e) => e.matches('.microlight'))
  seen.text = await page.locator('#operations-One-time_URLs-createDirectUpload').innerText()
  await look('open', true)
  return close(at)
}

// A request with a token, from the viewer.
async function attempt() {
  const at = await open({ viewport: { width: 1280, height: 900 } })
  const { page, seen } = at
  await page.getByRole('button', { name: 'Authorize' }).first().click()
  const dialog = page.locator('.auth-container', { hasText: 'bearer' }).first()
  await dialog.locator('input').fill(plan.token)
  await dialog.locator('button.authorize').click()
  await page.locator('.modal-ux .btn-done').first().click()
  await page.locator('[data-tag="Token and account"] button').click()
  const operation = page.locator('#operations-Token_and_account-verifyToken')
  await operation.locator('button.opblock-summary-control').click()
  await operation.getByRole('button', { name: 'Try it out' }).click()
  await operation.getByRole('button', { name: 'Execute' }).click()
  await operation.locator('.live-responses-table .response-col_status', { hasText: /\d/ }).waitFor()
  seen.text = await operation.locator('.live-responses-table').innerText()
  seen.stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]))
  return close(at)
}

const browser = await chromium.launch({
  executablePath: plan.chromium, args: plan.args, headless: true, timeout: 60_000,
})
try {
  for (const [name, look] of [...views.map((v) => [v.join(' '), () => view(v)]), ['request', attempt]]) {
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
