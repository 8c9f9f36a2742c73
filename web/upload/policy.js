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
  // The server takes animations of other formats as stills.
  if (!globalThis.ImageDecoder || !['gif', 'webp'].includes(format)) return false
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

// refusalOf resolves to a sentence, '' for a file that may be sent. limits has the bounds of the policy and of the
// server together.
export async function refusalOf(file, { policy = {}, limits = {} }) {
  if (file.size === 0) return say('empty')
  if (file.size > limits.maxBytes) return say('tooLarge', { size: bytes(file.size), max: bytes(limits.maxBytes) })
  const format = await formatOf(file)
  const { formats } = limits
  if (format && formats && !formats.includes(format)) {
    return say('formatRefused', { format: names[format], formats: formatNames(formats) })
  }
  if (!format && /^(video|audio|text)\/|pdf|zip|msword|officedocument/.test(file.type)) return say('notPicture')
  return await refusalOfPixels(file, policy, limits) || (policy.animated === false && await isAnimated(file, format) ?
    say('animated') : '')
}

async function refusalOfPixels(file, policy, limits) {
  const { minWidth = 0, minHeight = 0, maxWidth, maxHeight, maxPixels, aspectRatio } = policy
  if (!minWidth && !minHeight && !maxWidth && !maxHeight && !maxPixels && !aspectRatio) return ''
  const size = await sizeOf(file)
  if (!size) return ''
  const { width, height } = size
  const refused = (sentence) => `${say('pictureSize', { size: side(width, height) })} ${sentence}`
  if (width < minWidth || height < minHeight) return refused(leastOf(policy))
  if (maxWidth && width > limits.maxWidth || maxHeight && height > limits.maxHeight) {
    return refused(mostOf(policy, limits))
  }
  if (maxPixels && width * height > limits.maxPixels) return refused(pixelsOf(policy, limits))
  // The bounds are inclusive, and the server may compare other roundings: only what is clearly beyond is refused.
  const shape = width / height
  if (shape < aspectRatio?.min * 0.9999 || shape > aspectRatio?.max * 1.0001) return refused(ratioOf(policy))
  return ''
}

// The bounds of a policy in pixels, a sentence each, '' without any.

export function leastOf({ minWidth, minHeight }) {
  if (minWidth && minHeight) return say('ruleMin', { size: side(minWidth, minHeight) })
  if (minWidth) return say('ruleMinWidth', { n: number(minWidth) })
  return minHeight ? say('ruleMinHeight', { n: number(minHeight) }) : ''
}

export function mostOf({ maxWidth, maxHeight }, limits) {
  if (maxWidth && maxHeight) return say('ruleMax', { size: side(limits.maxWidth, limits.maxHeight) })
  if (maxWidth) return say('ruleMaxWidth', { n: number(limits.maxWidth) })
  return maxHeight ? say('ruleMaxHeight', { n: number(limits.maxHeight) }) : ''
}

export const pixelsOf = ({ maxPixels }, limits) =>
  maxPixels ? say('ruleMaxPixels', { max: number(limits.maxPixels) }) : ''

export function ratioOf({ aspectRatio: { min, max } = {} }) {
  if (min && max) return say('ruleRatio', { min: number(min, 3), max: number(max, 3) })
  if (min) return say('ruleRatioMin', { min: number(min, 3) })
  return max ? say('ruleRatioMax', { max: number(max, 3) }) : ''
}
