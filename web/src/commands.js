// The four requests as lines for a shell, as a person would type them. The token is a variable,
// which "calotype env" sets.

const plain = /^[A-Za-z0-9_./:=@%-]+$/
const quote = (word) => (plain.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`)
const bearer = '-H "Authorization: Bearer $CLOUDFLARE_API_TOKEN"'

export const askLine = ({ api, account }) =>
  `curl -X POST ${bearer} \\\n  ${api}/accounts/${account}/images/v2/direct_upload`

export const uploadLine = (url, name) =>
  `curl -F ${quote(`file=@${name || 'photo.jpg'}`)} \\\n  ${url ? quote(url) : '"$UPLOAD_URL"'}`

export const lookLine = ({ api, account }, id) =>
  `curl ${bearer} \\\n  ${api}/accounts/${account}/images/v1/${id || '$ID'}`

export const printLine = (url) =>
  `curl -o public.jpg \\\n  ${url ? quote(url) : '"$VARIANT"'}`

// What the answers look like before there are any.
export const shapes = {
  ask: `{
  "result": {
    "id": "…",
    "uploadURL": "…?ticket=…"
  },
  "success": true
}`,
  upload: `{
  "result": {
    "id": "…",
    "filename": "…",
    "variants": ["…/public"]
  },
  "success": true
}`,
  look: `{
  "result": {
    "id": "…",
    "draft": true,
    "variants": ["…/public"]
  },
  "success": true
}`,
}
