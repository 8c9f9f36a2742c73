// upload sends a picture to a one-time URL by tus 1.0 (https://tus.io/protocols/resumable-upload). It is the
// only client of that protocol in this project: the element and the upload page use it too.
import { interrupted, record } from './record.js'
import { parsed, Refusal, send, texts } from './request.js'

export { interrupted, Refusal, texts }

const delays = [0, 1, 2, 4, 8, 15, 30] // seconds before the first, second, ... retry without progress
const tus = { 'Tus-Resumable': '1.0.0' }

// upload resolves to the result of the server's answer: id, filename, variants, receipt. It rejects with a
// Refusal, or with the reason of signal, an AbortSignal; a later call with the same URL and file continues where
// this one ended. onprogress gets { sent, total, rate, left, waiting }: bytes, bytes a second, seconds that are
// left, and seconds until the next attempt after a failure; then also the status, code, message and reason of the
// Refusal. chunk bounds the bytes that are sent twice after a break: the state of the URL has the size that suits the
// server in resumable.chunk. attempts bounds the failures in sequence.
export async function upload(url, file, { signal, onprogress, chunk = 1 << 20, attempts = 30 } = {}) {
  if (file.size === 0) throw new Refusal(texts.empty, { reason: 'empty' })
  url = new URL(url, location.href).href
  const open = await record(url, file)
  const report = meter(file.size, onprogress)
  let at = open.read() // the URL of the open upload; '' before its creation
  let offset = at ? -1 : 0 // -1: the server knows it
  let stored = 0 // the last offset that the server has confirmed
  let restarts = 0
  for (let failures = 0; ;) {
    try {
      if (!at) {
        const answer = await send('POST', url, { ...tus, 'Upload-Length': file.size,
          'Upload-Metadata': `filename ${base64(file.name ?? '')}` }, null, signal)
        at = new URL(answer.getResponseHeader('Location'), url).href
        open.write(at, answer.getResponseHeader('Upload-Expires'))
      } else if (offset < 0) {
        stored = offset = offsetOf(await send('HEAD', at, tus, null, signal))
        report(offset, { restart: true })
      }
      const piece = file.slice(offset, offset + chunk)
      const answer = offset < file.size ?
        await send('PATCH', at, { ...tus, 'Upload-Offset': offset, 'Content-Type': 'application/offset+octet-stream' },
          piece, signal, (loaded) => report(offset + Math.min(loaded, piece.size))) :
        await send('GET', at, {}, null, signal) // an earlier answer was lost
      failures = 0
      stored = offset = answer.status === 200 ? file.size : offsetOf(answer)
      report(offset)
      if (answer.status === 200) {
        open.clear()
        return parsed(answer).result
      }
    } catch (error) {
      signal?.throwIfAborted()
      if (error.status === 404 || error.status === 410 && offset < 0) {
        // The open upload is gone. A new one can begin, or its refusal says why not.
        open.clear()
        if (!at || ++restarts > 2) throw error
        at = ''
        stored = offset = 0
        continue
      }
      if (!error.temporary || !at && error.status === 409 || ++failures > attempts) {
        if (error.status >= 400 && error.status < 500 && !error.temporary) open.clear()
        throw error
      }
      const delay = Math.max(error.retryAfter, delays[Math.min(failures, delays.length) - 1])
      report(stored, { waiting: delay, error })
      if (at) offset = -1
      await pause(delay, signal)
    }
  }
}

// cancel deletes what the server has of an unfinished upload.
export async function cancel(url, file) {
  url = new URL(url, location.href).href
  const open = await record(url, file)
  const at = open.read()
  open.clear()
  if (at) await send('DELETE', at, tus).catch(() => {}) // what is left ends with the one-time URL
}

function offsetOf(answer) {
  const offset = parseInt(answer.getResponseHeader('Upload-Offset'), 10)
  if (offset >= 0) return offset
  throw new Refusal(texts.header, { status: answer.status, reason: 'header' })
}

// pause waits for some seconds, or until the browser is online again.
function pause(seconds, signal) {
  return new Promise((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      removeEventListener('online', end)
      signal?.removeEventListener('abort', end)
      if (signal?.aborted) reject(signal.reason)
      else resolve()
    }
    const timer = setTimeout(end, seconds * 1000)
    addEventListener('online', end)
    signal?.addEventListener('abort', end)
  })
}

// meter returns a function that reports the bytes sent, with their rate over the last seconds.
function meter(total, onprogress) {
  let seen = []
  return (sent, { restart, waiting, error } = {}) => {
    const now = performance.now()
    if (restart || waiting !== undefined) seen = []
    seen = [...seen.filter(({ time }) => now - time < 6000), { time: now, sent }]
    const [first] = seen
    const rate = now - first.time < 300 ? 0 : (sent - first.sent) * 1000 / (now - first.time)
    const { status = 0, code = 0, message = '', reason = '' } = error ?? {}
    onprogress?.({ sent, total, rate, left: rate > 0 ? (total - sent) / rate : NaN, waiting: waiting ?? 0,
      status, code, message, reason })
  }
}

function base64(text) {
  return btoa(String.fromCharCode(...new TextEncoder().encode(text).slice(0, 1000)))
}
