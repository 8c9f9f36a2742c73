// A Trial is the upload of one picture: its four requests, the answer to each, and the present step.
//
// The page holds no API token, so the server makes two of the requests for it, at /try/api/, with
// the answers of the API. The upload goes directly to the one-time URL, like any user's upload.

import { exchange, parsed, Refusal, refusalOf } from '../uploader/request.js'

const maxLooks = 40
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

const unreachable = 'The server cannot be reached: is it running?'
const cutOff = 'The upload was cut off before an answer came: is the upload address reachable from here?'

// ask returns an answer in the API's envelope, {status, text, result, refusal}. It throws a Refusal if there is no such
// answer; silent says why none came.
async function ask(method, url, { body, onsent, silent = unreachable } = {}) {
  let request
  try {
    request = await exchange(method, url, {}, body, null, onsent)
  } catch {
    throw new Refusal(silent, { reason: 'connection' })
  }
  const { status, responseText } = request
  const envelope = parsed(request)
  if (typeof envelope.success !== 'boolean') {
    const hint = status === 404 ? 'open the link again that the server printed at its start' :
      'what stands between this page and the server has perhaps answered in its place'
    throw new Refusal(`The answer is not the server's JSON: ${hint}.`, { status, reason: 'answer' })
  }
  return { status, text: responseText.trimEnd(), result: envelope.result, refusal: refusalOf(request) }
}

export const about = async () => {
  const answer = await ask('GET', '/try/api/about')
  if (answer.refusal) throw answer.refusal
  return answer.result
}

export class Trial {
  stage = $state('idle') // idle, asking, uploading, checking, ready or refused
  sent = $state(0) // of 1
  file = $state(null)
  preview = $state('') // URL of the file itself
  ticket = $state.raw(null) // the answers, each {status, text, result}
  upload = $state.raw(null)
  image = $state.raw(null)
  problem = $state.raw(null)

  get busy() {
    return ['asking', 'uploading', 'checking'].includes(this.stage)
  }

  // run takes a picture all the way. It never throws: what went wrong is in problem.
  async run(file) {
    if (this.busy) return
    if (this.preview) URL.revokeObjectURL(this.preview)
    Object.assign(this, {
      stage: 'asking', sent: 0, file, preview: URL.createObjectURL(file),
      ticket: null, upload: null, image: null, problem: null,
    })
    try {
      await this.#steps(file)
      this.stage = 'ready'
    } catch (err) {
      this.problem = err instanceof Refusal ? err : new Refusal(String(err?.message ?? err))
      this.stage = 'refused'
    }
  }

  async #steps(file) {
    this.ticket = await ask('POST', '/try/api/draft')
    if (this.ticket.refusal) throw this.ticket.refusal
    await this.#look()
    this.stage = 'uploading'
    this.upload = await this.#send(this.ticket.result.uploadURL, file)
    if (this.upload.refusal) {
      await this.#look() // the draft says what was refused
      throw this.upload.refusal
    }
    this.stage = 'checking'
    for (let looks = 0; looks < maxLooks; looks++) {
      await this.#look()
      if (!this.image.result.draft) return
      await pause(500)
    }
    throw new Refusal('The draft has not become an image, though its upload was answered.')
  }

  async #look() {
    const id = encodeURIComponent(this.ticket.result.id)
    const answer = await ask('GET', `/try/api/image?id=${id}`)
    this.image = answer
    if (answer.refusal) throw answer.refusal
  }

  #send(url, file) {
    const body = new FormData()
    body.append('file', file)
    return ask('POST', url, { body, silent: cutOff, onsent: (sent, total) => {
      this.sent = sent / total
      if (sent === total) this.stage = 'checking'
    } })
  }
}
