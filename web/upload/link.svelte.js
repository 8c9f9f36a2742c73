// A Link is the one-time URL of this page: its state as the server says it, and the pictures for it.
import { tick } from 'svelte'
import { cancel, interrupted, upload } from '../uploader/upload.js'
import { refusalOf } from './policy.js'
import { bytes, duration, has, isolate, percent, say } from './words.js'

// A Picture is a file and what has become known of it.
export class Picture {
  stage = $state('reading') // reading, ready, sending, paused, done, refused
  sent = $state(0) // of 1
  progress = $state.raw(null) // of the uploader
  problem = $state('') // a sentence in the language of the page
  words = $state('') // the server's sentence, if it adds something
  temporary = $state(false) // a retry may succeed
  seen = $state(true) // this browser can show it
  stop = null

  constructor(file) {
    this.file = file
    this.preview = URL.createObjectURL(file)
  }

  get open() {
    return ['reading', 'ready', 'sending', 'paused'].includes(this.stage)
  }

  // status is the text beside the bar.
  get status() {
    const { stage, progress } = this
    if (stage === 'done') return say('done')
    if (stage === 'paused') return say('paused')
    if (stage !== 'sending' || !progress) return bytes(this.file.size)
    if (progress.waiting) {
      const { status, code } = progress
      return say(!status ? 'offline' : has(`waiting${code}`) ? `waiting${code}` : 'waitingOther')
    }
    if (progress.sent === progress.total) return say('checking')
    const parts = [percent(this.sent)]
    if (progress.rate > 0) parts.push(bytes(progress.rate, '-per-second'))
    if (progress.left > 0) parts.push(say('left', { time: duration(progress.left) }))
    return parts.map(isolate).join(' · ')
  }
}

// addressOf returns the one-time URL of this page, without the result of a plain form and without a fragment.
function addressOf(page) {
  const url = new URL(page)
  url.searchParams.delete('page')
  url.hash = ''
  return url.href
}

export class Link {
  url = addressOf(location.href)
  state = $state.raw(null) // of the server; null before its answer
  status = $state('open') // open, used, expired, dead or unknown
  pictures = $state([])
  unfinished = $state([]) // names of files whose upload was interrupted by a reload
  problem = $state('') // a sentence about the page itself
  finished = $state(false) // the link has done its work
  next = $state('') // where the page continues
  running = false

  get many() {
    return (this.state?.uses?.allowed ?? 1) > 1
  }

  // left is the number of pictures that may still be chosen.
  get left() {
    const { allowed = 1, used = 0 } = this.state?.uses ?? {}
    return allowed - used - this.pictures.filter((picture) => picture.open).length
  }

  // load asks the server for the state, and looks for uploads that a reload has interrupted.
  async load() {
    try {
      const response = await fetch(this.url, { headers: { Accept: 'application/json' }, cache: 'no-store' })
      const answer = await response.json()
      if (response.ok) {
        this.state = answer.result
        if (!this.finished) this.status = answer.result.status ?? 'open'
      } else if (response.status === 404) {
        this.status = 'unknown'
      }
      this.problem = ''
    } catch {
      if (!this.finished) this.problem = say('unreachable') // else the page needs no answer
    }
    this.unfinished = await interrupted(this.url)
  }

  // add takes files that the user has chosen. An interrupted upload continues by itself.
  async add(files) {
    const fit = [...files].slice(0, Math.max(0, this.left))
    if (!this.many) this.pictures = this.pictures.filter((picture) => picture.open)
    for (const file of fit) {
      const known = this.pictures.push(new Picture(file)) - 1
      const picture = this.pictures[known]
      const before = this.unfinished.length > 0 && (await interrupted(this.url, file)).length > 0
      const problem = this.state ? await refusalOf(file, this.state) : ''
      if (picture.stage !== 'reading') continue
      if (problem) Object.assign(picture, { stage: 'refused', problem })
      else picture.stage = 'ready'
      if (!problem && before) this.start()
    }
    await tick()
  }

  // start sends all pictures that are ready, one after another.
  async start() {
    if (this.running) return
    this.running = true
    for (let next; (next = this.pictures.find((picture) => picture.stage === 'ready'));) await this.send(next)
    this.running = false
    await this.load()
  }

  async send(picture) {
    picture.stop = new AbortController()
    Object.assign(picture, { stage: 'sending', problem: '', words: '', temporary: false })
    try {
      const result = await upload(this.url, picture.file, {
        signal: picture.stop.signal, chunk: this.state?.resumable?.chunk,
        onprogress: (progress) => Object.assign(picture, { progress, sent: progress.sent / progress.total }),
      })
      Object.assign(picture, { stage: 'done', sent: 1 })
      await this.count(result.id)
    } catch (error) {
      if (picture.stop.signal.aborted) {
        if (picture.stage === 'sending') picture.stage = 'paused'
        return
      }
      this.refuse(picture, error)
    }
  }

  // count reads the state after an upload: the link may have done its work.
  async count(id) {
    this.finished = !this.many
    if (this.many) await this.load()
    if (this.left <= 0 && !this.pictures.some((picture) => picture.open)) this.finished = true
    if (this.finished) this.leave(id)
  }

  // leave continues at the page that the policy names, as the answer to a form does: the query of the policy stays
  // as it is.
  leave(id) {
    const { redirect } = this.state?.policy ?? {}
    if (!redirect) return
    const end = redirect.includes('#') ? redirect.indexOf('#') : redirect.length
    const address = redirect.slice(0, end)
    this.next = address + (address.includes('?') ? '&' : '?') + new URLSearchParams({ id, status: 'ok' }) +
      redirect.slice(end)
    if (!this.many) location.assign(this.next)
  }

  refuse(picture, error) {
    const { code = 0, status = 0, message = String(error) } = error
    const other = !status ? 'code0' : status < 400 || status >= 500 ? 'code5500' : 'codeOther'
    Object.assign(picture, {
      stage: 'refused', temporary: error.temporary === true, words: status ? message : '',
      problem: say(code && has(`code${code}`) ? `code${code}` : other),
    })
    if (code === 5409 || code === 5410 || status === 410) this.load()
  }

  pause(picture) {
    picture.stop?.abort()
  }

  // remove forgets a picture, here and at the server.
  async remove(picture) {
    const begun = picture.progress && picture.stage !== 'done'
    picture.stage = 'removed'
    picture.stop?.abort()
    this.pictures = this.pictures.filter((other) => other !== picture)
    URL.revokeObjectURL(picture.preview)
    if (begun) await cancel(this.url, picture.file)
    this.unfinished = await interrupted(this.url)
  }
}
