import { defineConfig } from 'vite'

// One file without imports, which pages of other sites load.
export default defineConfig({
  publicDir: false,
  build: {
    target: 'es2022',
    outDir: 'dist/uploader',
    modulePreload: { polyfill: false },
    rollupOptions: {
      input: 'uploader/index.js',
      preserveEntrySignatures: 'strict',
      output: { entryFileNames: 'uploader.js' },
    },
  },
})
