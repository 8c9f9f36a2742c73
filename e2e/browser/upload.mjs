// Uses the upload page and the element calotype-upload in a real browser. It reads one JSON object from standard
// input,
//
//   {"chromium": path, "args": [...], "shots": folder or "", "steps": [{"do": name, "url": URL, ...}, ...]}
//
// runs the steps one after another, each in a new profile, and prints one JSON value a line: what the user saw.
// A step that fails prints {"failed": reason}.
import { chromium } from 'playwright-core'
import { readFileSync } from 'node:fs'
import { text } from 'node:stream/consumers'

const axe = readFileSync(new URL('node_modules/axe-core/axe.min.js', import.meta.url), 'utf8')
const plan = JSON.parse(await text(process.stdin))
const done = '.picture.done'

async function audit(page) {
  await page.evaluate(axe)
  const { violations, passes } = await page.evaluate(() => globalThis.axe.run(document))
  return {
    passes: passes.length,
    violations: violations.map((v) => `${v.impact} ${v.id}: ${v.nodes[0].html.slice(0, 200)}`),
  }
}

// picture keeps a picture of a state of the page.
async function picture(page, seen, step, state) {
  if (plan.shots) await page.screenshot({ path: `${plan.shots}/${step.name}-${state}.png`, fullPage: true })
  const wide = await page.evaluate(() => document.documentElement.scrollWidth) - (step.width ?? 1280)
  if (wide > 0) seen.errors.push(`${state}: the page is ${wide} pixels too wide`)
}

// look audits a state of the page, and keeps a picture of it.
async function look(page, seen, step, state) {
  await page.evaluate(() => Promise.all(document.getAnimations().map((a) => a.finished)))
  await picture(page, seen, step, state)
  seen.audits.push({ state, ...await audit(page) })
}

async function slow(page, uploadThroughput, offline = false) {
  page.network ??= await page.context().newCDPSession(page)
  await page.network.send('Network.enable')
  await page.network.send('Network.emulateNetworkConditions',
    { offline, latency: 0, downloadThroughput: -1, uploadThroughput })
}

const chosen = async (page, files) => {
  await page.locator('#file').waitFor({ state: 'attached' })
  await page.getByText(/MB/).first().waitFor() // the state of the URL is there
  await page.setInputFiles('#file', files)
}

const steps = {
  // view goes through the states of the page with one picture.
  async view(page, seen, step) {
    await page.goto(step.url)
    await page.getByText(/MB|م\.ب/).first().waitFor()
    await look(page, seen, step, 'idle')
    await page.setInputFiles('#file', step.file)
    await page.locator('.send').waitFor()
    await look(page, seen, step, 'ready')
    await slow(page, 15_000)
    await page.click('.send')
    await page.waitForFunction(() => document.querySelector('progress')?.value > 0.02)
    await look(page, seen, step, 'sending')
    await page.locator('.acts .button').first().click()
    await page.locator('.picture.paused').waitFor()
    await look(page, seen, step, 'paused')
    await slow(page, -1)
    await page.locator('.acts .main').click()
    await page.locator(done).waitFor()
    await look(page, seen, step, 'done')
    seen.title = await page.title()
    seen.focused = await page.evaluate(() => document.activeElement.tagName)
  },

  // closed shows a page for a URL that takes no picture, or another state without action.
  async closed(page, seen, step) {
    const response = await page.goto(step.url)
    seen.status = response.status()
    await look(page, seen, step, 'closed')
    seen.title = await page.title()
    seen.inputs = await page.locator('input').count()
  },

  // plain uploads by the form, in a browser without scripts.
  async plain(page, seen, step) {
    await page.goto(step.url)
    await page.setInputFiles('input[type=file]', step.file)
    if (step.leads) {
      await page.click('button')
      await page.waitForURL(`${step.leads}**`)
      seen.text = page.url()
      return
    }
    const [response] = await Promise.all([
      page.waitForResponse((answer) => answer.request().method() === 'GET' && answer.url().includes('ticket')),
      page.click('button'),
    ])
    await page.waitForLoadState()
    seen.status = response.status()
    seen.text = await page.innerText('body')
  },

  // early uses the plain form while the script is loading. The script then takes the file over, or leaves a form alone
  // that is being sent.
  async early(page, seen, step) {
    let release
    const released = new Promise((resolve) => { release = resolve })
    await page.route('**/upload/page/*.js', (route) => released.then(() => route.continue()))
    await page.goto(step.url, { waitUntil: 'commit' })
    await page.locator('#plain').waitFor({ state: 'attached' })
    await page.setInputFiles('#plain', step.file)
    if (step.submit) {
      await page.evaluate(() => { // without an answer
        const form = document.querySelector('.plain-form')
        form.addEventListener('submit', (event) => event.preventDefault())
        form.requestSubmit()
      })
    }
    release()
    if (step.submit) {
      await page.waitForLoadState()
      await page.waitForTimeout(500)
      seen.inputs = await page.locator('#plain').count()
    } else {
      await page.locator('.send').waitFor()
      await page.click('.send')
      await page.locator(done).waitFor()
    }
    seen.text = await page.innerText('body')
  },

  // notice opens the page with the answer to a plain form, with scripts.
  async notice(page, seen, step) {
    await page.goto(step.url)
    await page.locator('#file').waitFor({ state: 'attached' })
    await page.getByText(/MB/).first().waitFor()
    await look(page, seen, step, 'notice')
    seen.note = await page.innerText('.note')
  },

  // waiting sends a picture that the server cannot take now.
  async waiting(page, seen, step) {
    await page.goto(step.url)
    await chosen(page, step.file)
    await page.click('.send')
    await page.locator('.picture.sending .status').getByText('The upload continues by itself').waitFor()
    seen.text = await page.innerText('.picture .status')
    seen.note = await page.locator('.toggle').getAttribute('aria-label')
  },

  // stripped uploads through a proxy that removes the headers of the protocol.
  async stripped(page, seen, step) {
    await page.route('**/upload/tus/**', (route) => route.fulfill({ status: 204 }))
    await page.goto(step.url)
    await chosen(page, step.file)
    await page.click('.send')
    await page.locator('.picture.refused [role=alert]').waitFor()
    seen.text = await page.innerText('.picture.refused [role=alert]')
  },

  // upload chooses the files, presses the button and waits until all is done; with reload, reloads in the middle.
  async upload(page, seen, step) {
    await page.goto(step.url)
    await chosen(page, step.files ?? step.file)
    await page.click('.send')
    if (step.reload) {
      await page.waitForFunction((part) => document.querySelector('progress')?.value > part, step.reload)
      seen.stored = await page.evaluate(() => JSON.stringify(localStorage))
      await page.goto(`${step.url}&page=form#again`) // the same one-time URL
      await page.locator('.note').waitFor()
      seen.note = await page.innerText('.note')
      await chosen(page, step.file) // continues by itself
    }
    if (step.leads) {
      await page.waitForURL(`${step.leads}**`)
      seen.text = page.url()
      return
    }
    const count = step.files?.length ?? 1
    await page.waitForFunction(({ done, count }) => document.querySelectorAll(done).length === count, { done, count })
    if (count > 1) await look(page, seen, step, 'many')
    seen.title = await page.title()
    seen.left = await page.evaluate(() => localStorage.length)
  },

  // offline cuts the network of the browser in the middle.
  async offline(page, seen, step) {
    await page.goto(step.url)
    await chosen(page, step.file)
    await page.click('.send')
    await page.waitForFunction(() => document.querySelector('progress')?.value > 0.2)
    await page.context().setOffline(true)
    await page.getByText('No connection').first().waitFor()
    const part = await page.evaluate(() => document.querySelector('progress').value)
    if (part < 0.08) seen.errors.push(`the bar falls to ${part} without a connection`)
    await page.context().setOffline(false)
    await page.locator(done).waitFor()
  },

  // refused chooses a file that the page refuses before it sends anything.
  async refused(page, seen, step) {
    await page.goto(step.url)
    await chosen(page, step.file)
    await page.locator('.picture.refused [role=alert]').waitFor()
    await look(page, seen, step, 'refused')
    seen.text = await page.innerText('.picture.refused [role=alert]')
    seen.note = await page.innerText('header')
  },

  // late chooses a file that only the server refuses, and then the right one.
  async late(page, seen, step) {
    await page.goto(step.url)
    await chosen(page, step.file)
    await page.click('.send')
    await page.locator('.picture.refused .words').waitFor()
    await look(page, seen, step, 'late')
    seen.text = await page.innerText('.picture.refused [role=alert]')
    await chosen(page, step.right)
    await page.click('.send')
    await page.locator(done).waitFor()
  },

  // keyboard does all but the dialog of the browser by keys.
  async keyboard(page, seen, step) {
    await page.goto(step.url)
    await page.getByText(/MB/).first().waitFor()
    const focused = () => page.evaluate(() => document.activeElement.id || document.activeElement.innerText?.trim())
    for (let i = 0; i < 10 && await focused() !== 'file'; i++) await page.keyboard.press('Tab')
    const outline = await page.evaluate(() => getComputedStyle(document.querySelector('#file + label')).outlineStyle)
    if (outline !== 'solid') seen.errors.push('the focus on the chooser is not to be seen')
    let chooser // a busy browser may lose a key
    for (let i = 0; i < 6 && !chooser; i++) {
      const opened = page.waitForEvent('filechooser', { timeout: 15_000 }).catch(() => null)
      await page.keyboard.press('Enter')
      chooser = await opened
    }
    await chooser.setFiles(step.file)
    await page.locator('.send').waitFor()
    await page.waitForFunction(() => document.activeElement.classList.contains('send'))
    await page.keyboard.press('Enter')
    await page.locator(done).waitFor()
    await page.waitForFunction(() => document.activeElement.tagName === 'H1')
    seen.text = await page.innerText('[role=status]')
  },

  // states goes through what view leaves out, with a large picture at step.url and one that the server refuses at
  // step.page.
  async states(page, seen, step) {
    await page.goto(step.url)
    await page.locator('#file').waitFor({ state: 'attached' })
    await page.locator('header p').first().waitFor()
    await page.setInputFiles('#file', step.file)
    await page.locator('.send').waitFor()
    const { offline } = JSON.parse(await page.locator('#words').textContent())
    await slow(page, -1, true)
    await page.click('.send')
    await page.locator('.picture.sending .status').getByText(offline).waitFor()
    await look(page, seen, step, 'offline')
    await slow(page, 15_000)
    await page.locator('.picture.sending .status').getByText(/·.*·/).waitFor() // the rate and the time left
    await look(page, seen, step, 'rate')
    await slow(page, -1)
    await page.goto(step.page)
    await page.locator('header p').first().waitFor()
    await look(page, seen, step, 'open')
    await page.setInputFiles('#file', step.files[0])
    await page.locator('.picture.refused [role=alert]').waitFor()
    await look(page, seen, step, 'refused-here')
    await page.setInputFiles('#file', step.files[1])
    await page.click('.send')
    await page.locator('.picture.refused .words').waitFor()
    await look(page, seen, step, 'refused-there')
  },

  // unscripted looks at the page without scripts, which axe needs.
  async unscripted(page, seen, step) {
    await page.goto(step.url)
    await picture(page, seen, step, 'unscripted')
  },

  // elementStates goes through the states of calotype-upload. step.file is large, step.right is refused.
  async elementStates(page, seen, step) {
    const status = page.locator('calotype-upload [role=status]')
    await page.goto(step.page)
    await page.locator('calotype-upload input').waitFor({ state: 'attached' })
    await page.setInputFiles('calotype-upload input', step.right)
    await status.getByText(/\w/).first().waitFor()
    await page.locator('calotype-upload .busy').waitFor({ state: 'detached' })
    await look(page, seen, step, 'refused')
    await slow(page, 15_000)
    await page.setInputFiles('calotype-upload input', step.file)
    await status.getByText(/[1-9]0/).first().waitFor()
    await look(page, seen, step, 'sending')
    await page.locator('calotype-upload button').click()
    await page.locator('calotype-upload .busy').waitFor({ state: 'detached' })
    await look(page, seen, step, 'paused')
    await slow(page, -1)
    await page.locator('calotype-upload button').click()
    await page.locator('calotype-upload button').waitFor({ state: 'hidden' })
    await look(page, seen, step, 'done')
  },

  drop: (page, seen, step) => given(page, step, (transfer) =>
    new DragEvent('drop', { dataTransfer: transfer, bubbles: true, cancelable: true })),
  paste: (page, seen, step) => given(page, step, (transfer) =>
    new ClipboardEvent('paste', { clipboardData: transfer, bubbles: true })),

  // element uploads by calotype-upload on a page of another origin.
  async element(page, seen, step) {
    await page.goto(step.page)
    await page.evaluate(() => {
      globalThis.outcome = null
      globalThis.steps = 0
      addEventListener('progress', () => { globalThis.steps++ })
      addEventListener('uploaded', ({ detail }) => { globalThis.outcome = { result: detail } })
      addEventListener('refused', ({ detail }) => {
        globalThis.outcome = { message: detail.message, code: detail.code, status: detail.status }
      })
    })
    await page.locator('calotype-upload input').waitFor({ state: 'attached' })
    if (step.audit) await look(page, seen, step, 'element')
    seen.note = await page.locator('calotype-upload label').innerText()
    await page.setInputFiles('calotype-upload input', step.file)
    if (step.waits) await page.locator('calotype-upload [role=status]').getByText(step.waits).waitFor()
    else await page.waitForFunction(() => globalThis.outcome)
    seen.outcome = await page.evaluate(() => globalThis.outcome)
    seen.progress = await page.evaluate(() => globalThis.steps)
    seen.title = await page.locator('calotype-upload progress').getAttribute('aria-label')
    seen.text = await page.locator('calotype-upload [role=status]').innerText()
    const reversed = await page.locator('calotype-upload [role=status]').evaluate((status) => {
      const text = document.createTreeWalker(status, NodeFilter.SHOW_TEXT).nextNode()
      const place = (i) => {
        const range = new Range()
        range.setStart(text, i)
        range.setEnd(text, i + 1)
        return range.getBoundingClientRect()
      }
      const [first, last] = [place(0), place(text.length - 1)]
      return last.top === first.top && last.left < first.left
    })
    if (reversed) seen.errors.push('the end of an English sentence is at its beginning')
    if (step.audit) await look(page, seen, step, 'element-done')
  },

  // uppy uploads by Uppy's Dashboard on a page of another origin.
  async uppy(page, seen, step) {
    await page.goto(step.page)
    const input = page.locator('.uppy-Dashboard-input').first()
    await input.waitFor({ state: 'attached' })
    await input.setInputFiles(step.file)
    await page.click('.uppy-StatusBar-actionBtn--upload')
    await page.waitForFunction(() => globalThis.outcome)
    seen.outcome = await page.evaluate(() => globalThis.outcome)
    seen.left = await page.evaluate(() => localStorage.length)
  },

  // fetch sends requests from a page of another origin, with credentials, and returns what its script can read.
  async fetch(page, seen, step) {
    await page.goto(step.page)
    seen.answers = await page.evaluate(async (requests) => {
      const all = []
      for (const { url, method, headers, base64, form } of requests) {
        const bytes = Uint8Array.from(atob(base64 ?? ''), (c) => c.charCodeAt(0))
        let body = bytes.length ? bytes : undefined
        if (form) {
          body = new FormData()
          body.append('file', new File([bytes], 'a.jpg', { type: 'image/jpeg' }))
        }
        try {
          const answer = await fetch(url, { method, headers, body, credentials: 'include' })
          const text = await answer.text()
          all.push({ status: answer.status, body: text })
        } catch (error) {
          all.push({ failed: String(error) })
        }
      }
      return all
    }, step.requests)
  },
}

// given dispatches an event that carries the file, and sends it.
async function given(page, step, event) {
  await page.goto(step.url)
  await page.getByText(/MB/).first().waitFor()
  await page.evaluate(({ base64, event }) => {
    const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))
    const transfer = new DataTransfer()
    transfer.items.add(new File([bytes], 'given.jpg', { type: 'image/jpeg' }))
    document.body.dispatchEvent(new Function(`return (${event})`)()(transfer))
  }, { base64: readFileSync(step.file).toString('base64'), event: String(event) })
  await page.click('.send')
  await page.locator(done).waitFor()
}

// play runs a step, and remembers the errors of the page and the hosts that it asks.
async function play(step) {
  const context = await browser.newContext({
    colorScheme: step.scheme ?? 'light', locale: step.locale ?? 'en-US', reducedMotion: 'reduce',
    viewport: { width: step.width ?? 1280, height: step.height ?? 900 },
    hasTouch: step.width < 600, isMobile: step.width < 600, javaScriptEnabled: !['plain', 'unscripted'].includes(step.do),
  })
  context.setDefaultTimeout(90_000)
  const page = await context.newPage()
  const seen = { errors: [], hosts: [], sent: 0, audits: [] }
  page.on('pageerror', (error) => seen.errors.push(String(error)))
  page.on('console', (line) => {
    // A refusal and a broken connection are what is tested; the browser calls them errors.
    if (line.type() === 'error' && !line.text().startsWith('Failed to load resource')) seen.errors.push(line.text())
  })
  page.on('request', (request) => {
    const { protocol, host } = new URL(request.url())
    if (protocol.startsWith('http') && !seen.hosts.includes(host)) seen.hosts.push(host)
    if (!['GET', 'HEAD', 'OPTIONS'].includes(request.method())) seen.sent++
  })
  try {
    await steps[step.do](page, seen, step)
  } catch (error) {
    seen.failed = String(error)
    if (plan.shots) await page.screenshot({ path: `${plan.shots}/${step.name}-failed.png` }).catch(() => {})
  }
  await context.close()
  return seen
}

const browser = await chromium.launch({
  executablePath: plan.chromium, args: plan.args, headless: true, timeout: 60_000,
})
try {
  for (const step of plan.steps) console.log(JSON.stringify({ name: step.name, ...await play(step) }))
} finally {
  await browser.close()
}
