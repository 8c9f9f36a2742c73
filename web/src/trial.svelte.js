// A Trial is the upload of one picture: its four requests, the answer to each, and the present step.
//
// The page holds no API token, so the server makes two of the requests for it, at /try/api/, with
// the answers of the API. The upload goes directly to the one-time URL, like any user's upload.

const maxLooks = 40
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))

// A Refusal is a missing answer, or an answer other than a success.
class Refusal extends Error {
  constructor(status, code, message) {
    super(message)
    this.status = status
    this.code = code
  }
}

// parsed returns {status, text, result} of an answer in the API's envelope, or throws why not.
function parsed(status, text) {
  let body
  try {
    body = JSON.parse(text)
  } catch {
    const hint = status === 404 ? 'open the link again that the server printed at its start' :
      'what stands between this page and the server has perhaps answered in its place'
    throw new Refusal(status, 0, `The answer is not the server's JSON: ${hint}.`)
  }
  const [first] = body.errors ?? []
  const refusal = body.success ? null :
    new Refusal(status, first?.code ?? 0, first?.message ?? 'The request was refused.')
  return { status, text: text.trimEnd(), result: body.result, refusal }
}

async function ask(path, options) {
  let response
  try {
    response = await fetch(path, options)
  } catch {
    throw new Refusal(0, 0, 'The server cannot be reached: is it running?')
  }
  return parsed(response.status, await response.text())
}

export const about = async () => {
  const answer = await ask('/try/api/about')
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
      this.problem = err instanceof Refusal ? err : new Refusal(0, 0, String(err?.message ?? err))
      this.stage = 'refused'
    }
  }

  async #steps(file) {
    this.ticket = await ask('/try/api/draft', { method: 'POST' })
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
    throw new Refusal(0, 0, 'The draft has not become an image, though its upload was answered.')
  }

  async #look() {
    const id = encodeURIComponent(this.ticket.result.id)
    const answer = await ask(`/try/api/image?id=${id}`)
    this.image = answer
    if (answer.refusal) throw answer.refusal
  }

  // XMLHttpRequest reports progress; fetch does not.
  #send(url, file) {
    return new Promise((resolve, reject) => {
      const form = new FormData()
      form.append('file', file)
      const request = new XMLHttpRequest()
      request.upload.onprogress = (event) => {
        if (event.lengthComputable) this.sent = event.loaded / event.total
      }
      request.upload.onload = () => {
        this.sent = 1
        this.stage = 'checking'
      }
      request.onload = () => {
        try {
          resolve(parsed(request.status, request.responseText))
        } catch (err) {
          reject(err)
        }
      }
      request.onerror = () => reject(new Refusal(0, 0,
        'The upload was cut off before an answer came: is the upload address reachable from here?'))
      request.open('POST', url)
      request.send(form)
    })
  }
}
