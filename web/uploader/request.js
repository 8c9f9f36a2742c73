// A request with progress, and the refusals of the server: for the uploader and for the demo page.
const silence = 45_000 // ms without progress of a body, after which the connection is dead
const patience = 180_000 // ms without an answer to a complete body, which a worker may have to decode

// The words of a Refusal that are not the server's, by its reason. The element has them in another language.
export const texts = {
  empty: 'The file is empty.',
  connection: 'The connection failed.',
  answer: (status) => `The upload failed (${status}).`, // of a proxy
  header: 'The answer has no Upload-Offset: a proxy may have removed it.',
}

// A Refusal is an answer of the server, in its words, or the lack of one: then status is 0. reason names the text if
// the words are one of texts.
export class Refusal extends Error {
  constructor(message, { status = 0, code = 0, retryAfter = 0, reason = '' } = {}) {
    super(message)
    Object.assign(this, { name: 'Refusal', status, code, retryAfter, reason })
  }

  // A retry can succeed after a missing answer, after 409 (wrong offset) and 423 (another request is being
  // received) of an open upload, and when the server says that it is busy or broken.
  get temporary() {
    return this.reason === 'connection' || [408, 409, 423, 429].includes(this.status) ||
      this.status >= 500 && this.status !== 507
  }
}

// send resolves to a request that was answered with a success.
export async function send(method, url, headers, body, signal, onsent) {
  const request = await exchange(method, url, headers, body, signal, onsent)
  const refusal = refusalOf(request)
  if (refusal) throw refusal
  return request
}

// exchange resolves to a request that was answered, also with a refusal. It rejects with a Refusal without a status if
// there is no answer, or with the reason of signal. onsent gets the bytes of the body that were sent, and all bytes.
// fetch does not report the progress of a body.
export function exchange(method, url, headers, body, signal, onsent) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest()
    const stop = () => request.abort()
    let timer
    const watch = (time) => {
      clearTimeout(timer)
      timer = setTimeout(stop, time)
    }
    request.open(method, url)
    for (const [name, value] of Object.entries(headers)) request.setRequestHeader(name, value)
    request.upload.onprogress = ({ loaded, total }) => {
      watch(silence)
      onsent?.(loaded, total)
    }
    request.upload.onload = ({ loaded, total }) => {
      watch(patience)
      onsent?.(loaded, total)
    }
    request.onloadend = () => {
      clearTimeout(timer)
      signal?.removeEventListener('abort', stop)
      if (signal?.aborted) reject(signal.reason)
      else if (request.status === 0) reject(new Refusal(texts.connection, { reason: 'connection' }))
      else resolve(request)
    }
    if (signal?.aborted) return reject(signal.reason)
    signal?.addEventListener('abort', stop)
    watch(silence)
    request.send(body)
  })
}

// refusalOf returns the Refusal of a request that was answered, null after a success.
export function refusalOf(request) {
  const { status } = request
  if (status >= 200 && status < 300) return null
  const [error] = parsed(request).errors ?? []
  return new Refusal(error?.message ?? texts.answer(status), {
    status, code: error?.code, retryAfter: Number(request.getResponseHeader('Retry-After')) || 0,
    reason: error ? '' : 'answer',
  })
}

// parsed returns the envelope of an answer, {} for one that a proxy has written.
export function parsed(request) {
  try {
    return JSON.parse(request.responseText) ?? {}
  } catch {
    return {}
  }
}
