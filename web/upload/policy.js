// Refuses early what the server would refuse after the upload. In doubt it accepts: the server decides.
import { bytes, list, number, say, side } from './words.js'

const names = { jpeg: 'JPEG', png: 'PNG', gif: 'GIF', webp: 'WebP', avif: 'AVIF', heic: 'HEIC', svg: 'SVG' }
export const formatNames = (formats) => list(formats.map((name) => names[name] ?? name.toUpperCase()))

// formatOf returns the format that the first bytes of a file say, '' for an unknown one.
async function formatOf(file) {
  const head = new Uint8Array(await file.slice(0, 1024).arrayBuffer())
  const text = String.fromCharCode(...head)
  if (text.startsWith('\xff\xd8\xff')) return 'jpeg'
  if (text.startsWith('\x89PNG')) return 'png'
  if (text.startsWith('GIF8')) return 'gif'
  if (text.startsWith('RIFF') && text.slice(8, 12) === 'WEBP') return 'webp'
  if (text.slice(4, 8) !== 'ftyp') return ''
  const brands = text.slice(8, 8 + 64)
  if (/avi[fs]/.test(brands)) return 'avif'
  return /hei[cx]|hevc|mif1/.test(brands) ? 'heic' : ''
}

// sizeOf returns the pixels of a picture as they are shown, null if this browser cannot decode it.
async function sizeOf(file) {
  try {
    const bitmap = await createImageBitmap(file)
    const { width, height } = bitmap
    bitmap.close()
    return { width, height }
  } catch {
    return null
  }
}

async function isAnimated(file, format) {
  if (!globalThis.ImageDecoder || !['gif', 'png', 'webp', 'avif'].includes(format)) return false
  try {
    const decoder = new ImageDecoder({ data: await file.arrayBuffer(), type: `image/${format}` })
    await decoder.tracks.ready
    const { animated } = decoder.tracks.selectedTrack
    decoder.close()
    return animated
  } catch {
    return false
  }
}

// refusalOf resolves to a sentence, '' for a file that may be sent.
export async function refusalOf(file, { policy = {}, limits = {} }) {
  if (file.size === 0) return say('empty')
  const most = Math.min(policy.maxBytes ?? Infinity, limits.maxBytes ?? Infinity)
  if (file.size > most) return say('tooLarge', { size: bytes(file.size), max: bytes(most) })
  const format = await formatOf(file)
  const formats = policy.formats ?? limits.formats
  if (format && formats && !formats.includes(format)) {
    return say('formatRefused', { format: names[format], formats: formatNames(formats) })
  }
  if (!format && /^(video|audio|text)\/|pdf|zip|msword|officedocument/.test(file.type)) return say('notPicture')
  return await refusalOfPixels(file, policy, limits) || (policy.animated === false && await isAnimated(file, format) ?
    say('animated') : '')
}

async function refusalOfPixels(file, policy, limits) {
  const { minWidth = 0, minHeight = 0, maxWidth = Infinity, maxHeight = Infinity, maxPixels = Infinity } = policy
  const ratio = ratioOf(policy)
  if (!minWidth && !minHeight && maxWidth + maxHeight + maxPixels === Infinity && !ratio) return ''
  const size = await sizeOf(file)
  if (!size) return ''
  const { width, height } = size
  const has = side(width, height)
  if (width < minWidth || height < minHeight) {
    return say('tooSmall', { size: has, min: side(minWidth || 1, minHeight || 1) })
  }
  if (width > maxWidth || height > maxHeight) {
    return say('tooWide', { size: has, max: side(Math.min(maxWidth, limits.maxWidth ?? maxWidth), Math.min(maxHeight, limits.maxHeight ?? maxHeight)) })
  }
  if (width * height > maxPixels) return say('tooManyPixels', { size: has, max: number(maxPixels) })
  // The bounds are inclusive, and the server may compare other roundings: only what is clearly beyond is refused.
  const shape = width / height
  if (ratio && (shape < ratio[0] * 0.9999 || shape > ratio[1] * 1.0001)) {
    return say('ratio', { size: has, min: number(ratio[0], 3), max: number(ratio[1], 3) })
  }
  return ''
}

// ratioOf returns the bounds of width by height, null without any.
export function ratioOf({ aspectRatio }) {
  if (!aspectRatio) return null
  const [min, max] = Array.isArray(aspectRatio) ? aspectRatio : [aspectRatio.min, aspectRatio.max]
  return [min ?? 0, max ?? Infinity]
}
