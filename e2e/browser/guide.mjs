// Uses the page of a guide as its reader does. It reads one JSON object from standard input,
//
//   {"chromium": path, "args": [...], "page": URL, "good": file, "bad": file, "several": [file, ...]}
//
// where a file is {"name", "type", "base64"}. It chooses the bad file, then the good one, then several at once if there
// are some, and prints one JSON object: the text of the status after each, the pictures of the page before the several
// and their number after, the values that the progress bar had, and the errors of the page.
import { chromium } from 'playwright-core'
import { text } from 'node:stream/consumers'

const plan = JSON.parse(await text(process.stdin))
const browser = await chromium.launch({ executablePath: plan.chromium, args: plan.args })
try {
  const page = await browser.newPage()
  page.setDefaultTimeout(60_000)
  const errors = []
  page.on('pageerror', (error) => errors.push(String(error)))
  await page.goto(plan.page)
  await page.evaluate(() => {
    globalThis.parts = []
    new MutationObserver(() => {
      const bar = document.querySelector('progress')
      if (bar && !bar.hidden) globalThis.parts.push(bar.value)
    }).observe(document, { subtree: true, childList: true, attributes: true })
  })
  const choose = async (...files) => {
    const before = await page.locator('[role=status]').innerText()
    await page.setInputFiles('input[type=file]', files.map(({ name, type, base64 }) =>
      ({ name, mimeType: type, buffer: Buffer.from(base64, 'base64') })))
    await page.waitForFunction(([before]) => {
      const now = document.querySelector('[role=status]').innerText
      return now !== before && !now.includes('Uploading ')
    }, [before])
    return page.locator('[role=status]').innerText()
  }
  const refused = await choose(plan.bad)
  const accepted = await choose(plan.good)
  await page.waitForFunction(() => document.querySelector('img')?.naturalWidth > 0)
  const pictures = await page.evaluate(() =>
    [...document.images].map(({ src, naturalWidth, naturalHeight }) => ({ src, naturalWidth, naturalHeight })))
  const several = plan.several ? await choose(...plan.several) : ''
  const shown = await page.locator('img').count()
  console.log(JSON.stringify({ refused, accepted, pictures, several, shown, parts: await page.evaluate('parts'), errors }))
} finally {
  await browser.close()
}
