# Runs the verifier of the guide on cases, and prints a line for each: "accepted", or "refused: " with the reason.
import json, os, sys

verifier, keys, cases = sys.argv[1:]
sys.path.insert(0, os.path.dirname(verifier))
sys.dont_write_bytecode = True
from verify_receipt import metadata_hash, verify_receipt

with open(keys) as f:
    jwks = json.load(f)
with open(cases) as f:
    all = json.load(f)
for case in all:
    expected = dict(case["expected"])
    if case["metadata"] is not None:
        expected["metadataSha256"] = metadata_hash(case["metadata"])
    try:
        verify_receipt(case["receipt"], jwks, expected)
        print("accepted")
    except Exception as error:
        print("refused:", repr(error))
