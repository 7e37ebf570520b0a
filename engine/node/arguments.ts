// Errors of `parseArgs`, Node's parser of command lines.

/** Whether an error means that `parseArgs` rejected the command line. */
export function isBadOption(error: unknown): error is Error {
  return error instanceof Error && 'code' in error && String(error.code).startsWith('ERR_PARSE_ARGS')
}
