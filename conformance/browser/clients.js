// The code of a page for each client. A client is a function of the element in which it may draw, of
// getUploadURL, which returns a promise, and of two callbacks: done with the result or the answer's text,
// failed with the part of a refusal that the page's code can read. Those whose name begins with
// "guide" are the snippets of the guide; the others have the defaults of their library. Each loads only the
// modules that it needs.
// withInput gives the file of a plain input to a function that uploads it.
const withInput = (upload) => (root, getUploadURL, done, failed) => {
  const input = document.createElement('input')
  input.type = 'file'
  input.onchange = async () => {
    try {
      done(await upload(await getUploadURL(), input.files[0]))
    } catch (error) {
      failed(error.message)
    }
  }
  root.append(input)
}

const formOf = (file) => {
  const form = new FormData()
  form.append('file', file)
  return form
}

// fetched posts by fetch with more options.
const fetched = (options) => withInput(async (uploadURL, file) => {
  const response = await fetch(uploadURL, { method: 'POST', body: formOf(file), ...options })
  const text = await response.text()
  if (!response.ok) throw new Error(text)
  return text
})

// posted posts by axios with more options.
const posted = (options) => withInput(async (uploadURL, file) => {
  const { default: axios } = await import('axios')
  try {
    return (await axios.post(uploadURL, formOf(file), options)).data.result
  } catch (error) {
    throw new Error(JSON.stringify(error.response?.data ?? error.message))
  }
})

const element = (root, tag, attributes = {}) => {
  const made = Object.assign(document.createElement(tag), attributes)
  root.append(made)
  return made
}

// dropzone makes one with more options.
const dropzone = (options) => async (root, getUploadURL, done, failed) => {
  const { default: Dropzone } = await import('dropzone')
  Dropzone.autoDiscover = false
  const zone = new Dropzone(element(root, 'form', { className: 'dropzone' }),
    { url: await getUploadURL(), ...options })
  zone.on('success', (file, answer) => done(answer.result))
  zone.on('error', (file, answer, request) => {
    if (request) failed(JSON.stringify(answer)) // the first is about its own small picture
  })
}

const clients = {
  'guide fetch': withInput(async (uploadURL, file) =>
    (await import('guide/upload.js')).upload(uploadURL, file)),
  'guide XMLHttpRequest': withInput(async (uploadURL, file) => {
    let part = 0
    const { upload } = await import('guide/upload-progress.js')
    const result = await upload(uploadURL, file, (now) => { part = now })
    if (part !== 1) throw new Error(`the progress ended at ${part}`)
    return result
  }),
  'guide axios': withInput(async (uploadURL, file) =>
    (await import('guide/axios.js')).upload(uploadURL, file, () => {})),
  'guide React': async (root, getUploadURL, done) => {
    const { default: { createElement } } = await import('react')
    const { default: { createRoot } } = await import('react-dom/client')
    const { PictureInput } = await import('guide/react.jsx')
    createRoot(root).render(createElement(PictureInput, { getUploadURL, onUploaded: done }))
  },
  'guide Uppy': async (root, getUploadURL, done) => {
    (await import('guide/uppy.js')).mount(root, getUploadURL, done)
  },
  'guide Uppy with tus': async (root, getUploadURL, done) => {
    (await import('guide/uppy-tus.js')).mount(root, getUploadURL, done)
  },
  'guide calotype-upload': async (root, getUploadURL, done, failed) => {
    root.addEventListener('refused', ({ detail }) => failed(detail.message))
    await (await import('guide/element.js')).mount(root, getUploadURL, done)
  },
  'guide function upload': withInput(async (uploadURL, file) => {
    let part = 0
    const { upload } = await import('guide/uploader.js')
    const result = await upload(uploadURL, file, (now) => { part = now })
    if (part !== 1) throw new Error(`the progress ended at ${part}`)
    return result
  }),
  'guide FilePond': async (root, getUploadURL, done) => {
    const { mount } = await import('guide/filepond.js')
    mount(element(root, 'input', { type: 'file' }), getUploadURL, done)
  },
  'guide Dropzone': async (root, getUploadURL, done) => {
    const { mount } = await import('guide/dropzone.js')
    mount(element(root, 'form', { className: 'dropzone' }), getUploadURL, done)
  },

  'fetch with credentials': fetched({ credentials: 'include' }),
  'fetch by PUT': fetched({ method: 'PUT' }),
  'fetch with a Content-Type': fetched({ headers: { 'Content-Type': 'multipart/form-data' } }),
  'fetch with other headers': fetched({ headers: { 'X-Mine': '1', Authorization: 'Bearer x' } }),
  'axios': posted({ onUploadProgress() {} }),
  'axios with credentials': posted({ withCredentials: true, onUploadProgress() {} }),
  'Uppy': async (root, getUploadURL, done, failed) => {
    const { default: Uppy } = await import('@uppy/core')
    const { default: XHRUpload } = await import('@uppy/xhr-upload')
    const uppy = new Uppy({ autoProceed: true })
    uppy.use(XHRUpload, { endpoint: await getUploadURL() })
      .on('upload-success', (file, { body }) => done(body.result))
      .on('upload-error', (file, error, request) => failed(request.responseText))
    element(root, 'input', { type: 'file', onchange: ({ target }) => {
      uppy.addFile({ name: target.files[0].name, type: target.files[0].type, data: target.files[0] })
    } })
  },
  'Uppy Dashboard with credentials': async (root, getUploadURL, done, failed) => {
    const { default: Uppy } = await import('@uppy/core')
    const { default: Dashboard } = await import('@uppy/dashboard')
    const { default: XHRUpload } = await import('@uppy/xhr-upload')
    new Uppy({ autoProceed: true })
      .use(Dashboard, { target: root, inline: true })
      .use(XHRUpload, { endpoint: await getUploadURL(), withCredentials: true })
      .on('upload-success', (file, { body }) => done(body.result))
      .on('upload-error', (file, error, request) => failed(request.responseText))
  },
  'FilePond': async (root, getUploadURL, done, failed) => {
    const { default: FilePond } = await import('filepond')
    FilePond.create(element(root, 'input', { type: 'file' }), {
      name: 'file',
      server: { process: {
        url: await getUploadURL(),
        onload(text) { done(text); return text },
        onerror: failed,
      } },
    })
  },
  'Dropzone': dropzone({}),
  'Dropzone with credentials': dropzone({ withCredentials: true }),
  'Dropzone in chunks': dropzone({ chunking: true, chunkSize: 300 }),
  'Fine Uploader': async (root, getUploadURL, done, failed) => {
    const { default: fineUploader } = await import('fine-uploader')
    new fineUploader.FineUploaderBasic({
      button: element(root, 'div', { textContent: 'choose' }),
      request: { endpoint: await getUploadURL(), inputName: 'file' },
      callbacks: {
        onComplete: (id, name, answer, request) =>
          answer.success ? done(answer.result) : failed(request.responseText),
      },
    })
  },
  'plupload': async (root, getUploadURL, done, failed) => {
    const { default: plupload } = await import('plupload')
    const uploader = new plupload.Uploader({
      browse_button: element(root, 'button', { textContent: 'choose' }),
      url: await getUploadURL(), runtimes: 'html5',
      init: {
        FilesAdded: (it) => it.start(),
        FileUploaded: (it, file, { response }) => done(response),
        Error: (it, error) => failed(error.response),
      },
    })
    uploader.init()
  },
}

// The page's address names the client and the one-time URL. What comes of it is kept for the test.
const asked = new URL(location.href).searchParams
globalThis.outcome = null
clients[asked.get('client')](
  document.getElementById('root'),
  async () => asked.get('url'),
  (result) => { globalThis.outcome = { result } },
  (message) => { globalThis.outcome = { message: String(message) } },
)
