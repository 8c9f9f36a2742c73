// What /uploader.js is built of: the element calotype-upload, and the function that it uses.
export { cancel, interrupted, Refusal, upload } from './upload.js'
export { CalotypeUpload } from './element.js'
