// Runs the verifier of the guide on cases, and prints a line for each: "accepted", or "refused: " with the reason.
import { readFileSync } from 'node:fs'

const [verifier, keys, cases] = process.argv.slice(2)
const { metadataHash, verifyReceipt } = await import(verifier)
const read = (name) => JSON.parse(readFileSync(name))
const jwks = read(keys)
for (const { receipt, metadata, expected } of read(cases)) {
  try {
    verifyReceipt(receipt, jwks, { ...expected, ...(metadata && { metadataSha256: metadataHash(metadata) }) })
    console.log('accepted')
  } catch (error) {
    console.log(`refused: ${error.message}`)
  }
}
