import { svelte } from '@sveltejs/vite-plugin-svelte'
import { defineConfig } from 'vite'

// The page of a one-time URL. The server writes the HTML, and loads these two files with a nonce.
export default defineConfig({
  base: '/upload/page/',
  publicDir: false,
  plugins: [svelte({ emitCss: true })],
  build: {
    target: 'es2022',
    outDir: 'dist/upload',
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    cssCodeSplit: false,
    rollupOptions: {
      input: 'upload/main.js',
      output: { entryFileNames: 'upload-[hash].js', assetFileNames: 'upload-[hash][extname]' },
    },
  },
})
