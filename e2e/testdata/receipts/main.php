<?php // Runs the verifier of the guide on cases, and prints a line for each: "accepted", or "refused: " with the reason.
[, $verifier, $keys, $cases] = $argv;
set_error_handler(fn($level, $message) => throw new ErrorException($message));
require $verifier;
$read = fn($name) => json_decode(file_get_contents($name), true, 32, JSON_THROW_ON_ERROR);
$jwks = $read($keys);
$objects = json_decode(file_get_contents($cases));
foreach ($read($cases) as $i => $case) {
    $expected = $case['expected'];
    if ($case['metadata'] !== null) $expected['metadataSha256'] = metadata_hash($objects[$i]->metadata);
    try {
        verify_receipt($case['receipt'], $jwks, $expected);
        echo "accepted\n";
    } catch (Throwable $error) {
        echo 'refused: ', strtok($error->getMessage(), "\n"), "\n";
    }
}
