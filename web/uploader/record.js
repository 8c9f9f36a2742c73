// What the browser remembers of an open upload, so that it continues after a break and after a reload.
//
// The names in localStorage are a hash of the one-time URL and a hash of the file: the ticket is not among what
// is stored. The value has the file's name, its expiry, and the URL of the open upload, which is worth nothing without
// the same picture: it takes the rest of these bytes, and answers with the result for an hour. The value is deleted
// when the upload ends, and by the first upload after its expiry. Without a secure context there is no hash, and the
// memory ends with the page.
const prefix = 'calotype.upload.'
const longest = 6 * 3600_000 // ms that the server keeps an open upload at most
const here = new WeakMap() // of this page: for each file a Map of the open uploads by one-time URL

// record returns access to what is remembered of a file at a one-time URL.
export async function record(url, file) {
  const name = await nameOf(url, file)
  const mine = here.get(file) ?? here.set(file, new Map()).get(file)
  sweep()
  return {
    read: () => mine.get(url) ?? load(name)?.at ?? '',
    write(at, expires) {
      mine.set(url, at)
      const until = Math.min(Date.parse(expires) || Infinity, Date.now() + longest)
      if (name) attempt((storage) => storage.setItem(name, JSON.stringify({ at, until, file: file.name })))
    },
    clear() {
      mine.delete(url)
      if (name) attempt((storage) => storage.removeItem(name))
    },
  }
}

// interrupted returns the names of the files whose uploads to a one-time URL have not ended; with a file, only its.
export async function interrupted(url, file) {
  sweep()
  url = new URL(url, location.href).href
  const start = file ? await nameOf(url, file) : await hash(new Blob([url])).then((sum) => sum && prefix + sum)
  return start ? stored().filter((name) => name.startsWith(start)).map((name) => load(name)?.file ?? '') : []
}

// nameOf reads both ends of the file only: it may be large. Its date is that of the last change.
async function nameOf(url, file) {
  const head = [file.name, file.type, file.size, file.lastModified].join('\n')
  const hashes = await Promise.all([hash(new Blob([url])),
    hash(new Blob([head, '\n', file.slice(0, 1 << 16), file.slice(-(1 << 16))]))])
  return hashes[0] && `${prefix}${hashes.join('.')}`
}

async function hash(blob) {
  if (!crypto.subtle) return ''
  const digest = await crypto.subtle.digest('SHA-256', await blob.arrayBuffer())
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')
}

function sweep() {
  for (const name of stored()) {
    if (!(load(name)?.until > Date.now())) attempt((storage) => storage.removeItem(name))
  }
}

const stored = () => attempt((storage) => Object.keys(storage).filter((name) => name.startsWith(prefix))) ?? []
const load = (name) => name ? attempt((storage) => JSON.parse(storage.getItem(name))) : null

// attempt returns undefined if the browser stores nothing for this page.
function attempt(fn) {
  try {
    return fn(localStorage)
  } catch {
    return undefined
  }
}
